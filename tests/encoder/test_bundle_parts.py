"""A bundle cut into parts and joined is the bundle; anything amiss is refused and nothing is written."""

import pytest

from encoder.bundle import Bundle
from encoder.bundle_parts import join_bundle, split_bundle
from encoder.errors import BundleCorruptError, BundleError, BundleNotFoundError, ConfigError
from lodisc.cli import main


@pytest.fixture
def parts(tiny_bundle, tmp_path):
    split_bundle(Bundle.open(tiny_bundle), tmp_path / "parts", 3000)
    return tmp_path / "parts"


def test_joined_is_what_was_split(tiny_bundle, parts, tmp_path):
    sizes = [path.stat().st_size for path in sorted(parts.glob("part-*"))]
    assert len(sizes) > 2
    assert max(sizes) <= 3000
    bundle = join_bundle(parts, tmp_path / "joined")
    assert bundle.manifest == Bundle.open(tiny_bundle).manifest
    for path in tiny_bundle.iterdir():
        assert (tmp_path / "joined" / path.name).read_bytes() == path.read_bytes()


def test_the_same_bundle_gives_the_same_parts(tiny_bundle, parts, tmp_path):
    split_bundle(Bundle.open(tiny_bundle), tmp_path / "again", 3000)
    assert {p.name: p.read_bytes() for p in parts.iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "again").iterdir()
    }


def test_a_part_that_is_not_the_one_that_was_written(parts, tmp_path):
    path = parts / "part-001"
    whole = path.read_bytes()
    for content in (whole[:-1], bytes([whole[0] ^ 1]) + whole[1:], None):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BundleCorruptError, match=r"part-001 .*copy"):
            join_bundle(parts, tmp_path / "joined")
        assert not (tmp_path / "joined").exists()
        path.write_bytes(whole)


@pytest.mark.parametrize("content", ["{", "{}", '{"bundle_id": "x", "parts": {}, "sha256": "0"}'])
def test_an_index_that_is_no_index(parts, tmp_path, content):
    (parts / "parts.json").write_text(content)
    with pytest.raises(BundleCorruptError):
        join_bundle(parts, tmp_path / "joined")


def test_faults(tiny_bundle, parts, tmp_path):
    with pytest.raises(BundleNotFoundError, match="lodisc bundle split"):
        join_bundle(tiny_bundle, tmp_path / "joined")
    with pytest.raises(BundleError, match="already exists"):
        join_bundle(parts, tiny_bundle)
    with pytest.raises(BundleError, match="already exists"):
        split_bundle(Bundle.open(tiny_bundle), parts, 3000)
    with pytest.raises(BundleError, match=r"holds no parts.json, so it is not replaced"):
        split_bundle(Bundle.open(tiny_bundle), tiny_bundle, 3000, overwrite=True)
    with pytest.raises(ConfigError, match="holds nothing"):
        split_bundle(Bundle.open(tiny_bundle), tmp_path / "new", 0)


def test_the_commands(tiny_bundle, tmp_path, capsys):
    words = ["bundle", "split", str(tiny_bundle), "--out", str(tmp_path / "parts")]
    assert main([*words, "--max-mb", "0.003"]) == 0
    assert main(words) == 2
    assert main([*words, "--max-mb", "0", "--overwrite"]) == 2
    assert main([*words, "--max-mb", "0.002", "--overwrite"]) == 0
    assert main(["bundle", "join", str(tmp_path / "parts"), "--out", str(tmp_path / "joined")]) == 0
    out, err = capsys.readouterr()
    assert "every file is the one that was split" in out
    assert "--max-mb is 0.0, expected above 0" in err
    assert Bundle.open(tmp_path / "joined").manifest == Bundle.open(tiny_bundle).manifest
