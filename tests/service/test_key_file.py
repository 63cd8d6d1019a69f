import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from encoder.errors import ConfigError
from lodisc.commands.key_command import expiry
from service.key_file import KEY_PATTERN, KeyFileError, add_key, new_key, parse_keys, read_keys, revoke_keys
from service.key_ring import KeyRing
from service.problems import KeyRefusedError

PROJECT = Path(__file__).parents[2]


def made(path: Path, scope: str = "read", expires: datetime | None = None) -> str:
    text, key = new_key("a test", scope, expires)
    add_key(path, key)
    return text


def test_a_key_is_kept_as_a_hash_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    texts = [made(path), made(path, "admin")]
    content = path.read_text()
    for text in texts:
        assert KEY_PATTERN.fullmatch(text)
        assert text.split("_", 2)[2] not in content
    assert [key.scope for key in read_keys(path).values()] == ["read", "admin"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == ["keys.json", "keys.json.lock"]


def test_a_revoked_key_stays_listed_with_its_first_date(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key_id = made(path).split("_")[1]
    assert revoke_keys(path, [key_id, "none"]) == ["none"]
    revoked = read_keys(path)[key_id].revoked
    assert revoked is not None
    assert revoke_keys(path, [key_id]) == []
    assert read_keys(path)[key_id].revoked == revoked
    with pytest.raises(KeyFileError, match="cannot be read"):
        revoke_keys(tmp_path / "other.json", [key_id])
    assert not (tmp_path / "other.json").exists()


def test_commands_that_make_keys_at_once_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda _: made(path), range(40)))
    assert {text.split("_")[1] for text in texts} == set(read_keys(path))


KEY = {
    "id": "0" * 12, "name": "", "scope": "read", "sha256": "0" * 64, "created": "2026-01-01T00:00:00Z",
    "expires": None, "revoked": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"version": 2, "keys": []},
        {"version": 1, "keys": {}},
        {"version": 1, "keys": [KEY, KEY]},
        {"version": 1, "keys": [{**KEY, "scope": "root"}]},
        {"version": 1, "keys": [{**KEY, "sha256": "0"}]},
        {"version": 1, "keys": [{**KEY, "id": 7}]},
        {"version": 1, "keys": [{**KEY, "revoked": 7}]},
        {"version": 1, "keys": [{**KEY, "expires": "2026-01-01"}]},
        {"version": 1, "keys": [{name: KEY[name] for name in KEY if name != "revoked"}]},
    ],
    ids=range(12),
)
def test_a_file_that_is_half_right_is_damaged(document: object) -> None:
    with pytest.raises(KeyFileError, match="damaged"):
        parse_keys(json.dumps(document).encode(), Path("keys.json"))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_damaged(content: bytes) -> None:
    with pytest.raises(KeyFileError, match="damaged"):
        parse_keys(content, Path("keys.json"))


def test_a_ring_follows_its_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    ring = KeyRing(path, required=False)
    assert not ring.present()
    first = made(path)
    assert ring.present()
    assert ring.key_of(first).scope == "read"
    second = made(path, "write", datetime.now(UTC) + timedelta(hours=1))
    assert ring.present()
    assert ring.key_of(second).scope == "write"
    revoke_keys(path, [first.split("_")[1]])
    assert ring.present()
    with pytest.raises(KeyRefusedError, match="revoked"):
        ring.key_of(first)
    expired = made(path, "write", datetime.now(UTC) - timedelta(seconds=1))
    assert ring.present()
    with pytest.raises(KeyRefusedError, match="expired"):
        ring.key_of(expired)


def test_a_ring_knows_no_other_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    text, other = made(path), new_key("", "read")[0]
    ring = KeyRing(path, required=True)
    assert ring.present()
    swapped = f"{text[:20]}{other[20:]}"  # the id of one, the secret of the other
    for wrong in (other, swapped, text[:-1], f"{text}a", text.upper(), f" {text}", "", "\udcff", "lodisc__"):
        with pytest.raises(KeyRefusedError, match="no key of this server"):
            ring.key_of(wrong)


def test_in_doubt_nobody_gets_in(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(KeyFileError, match="gone"):
        KeyRing(path, required=True).present()
    text = made(path)
    ring = KeyRing(path, required=False)
    assert ring.present()
    good = path.read_bytes()
    path.write_bytes(good[:-20])
    for _ in range(2):
        with pytest.raises(KeyFileError, match="damaged"):
            ring.present()
    path.unlink()
    with pytest.raises(KeyFileError, match="gone"):
        ring.present()
    path.mkdir()
    with pytest.raises(KeyFileError, match="cannot be read"):
        ring.present()
    path.rmdir()
    path.write_bytes(good)
    assert ring.present()
    assert ring.key_of(text).name == "a test"


def test_when_a_key_ends() -> None:
    now = datetime(2026, 12, 31, 12, tzinfo=UTC)
    assert expiry("90d", now) == now + timedelta(days=90)
    assert expiry("12h", now) == now + timedelta(hours=12)
    assert expiry("2027-01-31", now) == datetime(2027, 1, 31, tzinfo=UTC)
    for wrong in ("", "soon", "0d", "-1d", "2026-12-31", "2027-02-30", "90", "٣d"):
        with pytest.raises(ConfigError, match="--expires"):
            expiry(wrong, now)


def lodisc_key(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "lodisc", "key", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)


def test_the_command_makes_lists_and_revokes(tmp_path: Path) -> None:
    folder = str(tmp_path)
    created = lodisc_key("create", folder, "--scope", "write", "--name", "the [shop]", "--expires", "90d")
    text = created.stdout.removesuffix("\n")  # nothing else, so that a shell can keep it in a variable
    key_id = text.split("_")[1]
    assert KEY_PATTERN.fullmatch(text)
    assert text not in created.stderr
    listed = lodisc_key("list", folder).stdout
    assert key_id in listed
    assert "the [shop]" in listed
    assert text.split("_", 2)[2] not in listed
    assert lodisc_key("revoke", folder, key_id).returncode == 0
    assert lodisc_key("revoke", folder, "none").returncode == 1
    (row,) = json.loads(lodisc_key("list", folder, "--json").stdout)
    assert (row["id"], row["scope"], row["state"]) == (key_id, "write", "revoked")
    assert "sha256" not in row


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "{folder}/none"), "there is no catalogue"),
        (("create", "{folder}", "--name", "a\nb"), "--name"),
        (("create", "{folder}", "--expires", "yesterday"), "--expires"),
        (("revoke", "{folder}", "0"), "cannot be read"),
        (("list", "{folder}", "--keys", "{folder}/damaged.json"), "damaged"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "damaged.json").write_text("{")
    done = lodisc_key(*(one.format(folder=tmp_path) for one in arguments))
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_where_the_link_to_a_catalogue_takes_its_keys_along_nobody_is_let_in_and_the_way_out_is_told(
    tmp_path: Path,
) -> None:
    one, other, link = tmp_path / "one", tmp_path / "other", tmp_path / "current"
    one.mkdir()
    other.mkdir()
    made(one / "keys.json")
    link.symlink_to(one)
    ring = KeyRing(link / "keys.json", required=False)
    assert ring.present()
    (tmp_path / "next").symlink_to(other)
    (tmp_path / "next").replace(link)
    for _ in range(2):
        with pytest.raises(KeyFileError, match="is gone; put it back.*another catalogue.*--keys FILE"):
            ring.present()
    (other / "keys.json").write_bytes((one / "keys.json").read_bytes())
    assert ring.present()
