"""Keys, CORS and the rule of loopback, asked of really started servers."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from live_server import LiveServer, serving
from served_catalogue import COLOURS, build_served_catalogue, drawn_picture, encoded

from service.scopes import SCOPES, covers, needed_scope

PROJECT = Path(__file__).parents[2]
SITE = "https://shop.example"
GOOD = encoded(drawn_picture(COLOURS["Viridis/lime"], 7))
ITEM = "/items/Viridis/lime/0.png"


def make_key(catalogue: Path, *flags: str) -> str:
    command = [sys.executable, "-m", "lodisc", "key", "create", str(catalogue), *flags]
    return subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout.strip()


def revoke(catalogue: Path, key: str) -> None:
    command = [sys.executable, "-m", "lodisc", "key", "revoke", str(catalogue), key.split("_")[1]]
    subprocess.run(command, cwd=PROJECT, check=True)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    return build_served_catalogue(tmp_path_factory.mktemp("served"), tiny_bundle)


@pytest.fixture(scope="module")
def keys(catalogue: Path) -> dict[str, str]:
    return {scope: make_key(catalogue, "--scope", scope, "--name", scope) for scope in SCOPES}


@pytest.fixture(scope="module")
def server(catalogue: Path, keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    log_path = tmp_path_factory.mktemp("log") / "log.txt"
    with serving(catalogue, log_path, "--workers", "2", "--host", "0.0.0.0", "--cors-origin", SITE) as running:
        running.url = running.url.replace("0.0.0.0", "127.0.0.1")
        yield running
        log = running.log()
        assert "Traceback" not in log
        assert not any(key.split("_", 2)[2] in log for key in keys.values())


@pytest.fixture(scope="module")
def http(server: LiveServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_pages_and_probes_need_no_key(http: httpx.Client) -> None:
    for path in ("/", "/docs", "/openapi.json", "/page/app.js", "/livez", "/readyz"):
        assert http.get(path).status_code == 200


def test_every_operation_with_every_key(http: httpx.Client, keys: dict[str, str]) -> None:
    for path, methods in http.get("/openapi.json").json()["paths"].items():
        for method in methods:
            needed = needed_scope(method.upper(), path)
            url = path.replace("{id}", "none")
            answer = http.request(method, url)
            assert (answer.status_code == 401) == (needed is not None)
            for held, key in keys.items():
                answer = http.request(method, url, headers=bearer(key))
                assert answer.status_code not in (401, 500)
                assert (answer.status_code == 403) == (needed is not None and not covers(held, needed))
                assert (answer.status_code != 403) or answer.json()["error"]["code"] == "scope_too_small"


def test_a_refusal_has_our_shape_and_a_challenge(http: httpx.Client, keys: dict[str, str]) -> None:
    missing = http.get(ITEM)
    wrong = http.get(ITEM, headers=bearer(f"{keys['read'][:-4]}AAAA"))
    small = http.delete(ITEM, headers=bearer(keys["read"]))
    assert [one.status_code for one in (missing, wrong, small)] == [401, 401, 403]
    assert [one.json()["error"]["code"] for one in (missing, wrong, small)] == [
        "key_missing",
        "key_refused",
        "scope_too_small",
    ]
    assert missing.headers["www-authenticate"] == 'Bearer realm="lodisc"'
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
    assert 'scope="write"' in small.headers["www-authenticate"]
    assert missing.headers["x-content-type-options"] == "nosniff"


def test_a_write_key_writes_without_allow_writes(http: httpx.Client, keys: dict[str, str]) -> None:
    put = http.put("/items/new.png", files={"image": ("a.png", GOOD)}, headers=bearer(keys["write"]))
    assert put.status_code == 200
    assert http.delete("/items/new.png", headers=bearer(keys["write"])).status_code == 204


def test_refusals_are_counted_and_logged_by_the_id_of_the_key(
    server: LiveServer, http: httpx.Client, keys: dict[str, str]
) -> None:
    http.get(ITEM)
    http.get(ITEM, headers=bearer(keys["read"]))
    text = http.get("/metrics", headers=bearer(keys["admin"])).text
    assert 'lodisc_access_refused_total{reason="key_missing"}' in text
    log = server.log()
    assert "refused=key_missing" in log
    assert f"key={keys['read'].split('_')[1]}" in log


def test_keys_are_made_and_revoked_while_both_workers_serve(http: httpx.Client, catalogue: Path) -> None:
    key = make_key(catalogue)
    for _ in range(20):  # whichever of the two answers
        assert httpx.get(f"{http.base_url}{ITEM}", headers=bearer(key), trust_env=False).status_code == 200
    revoke(catalogue, key)
    for _ in range(20):
        answer = httpx.get(f"{http.base_url}{ITEM}", headers=bearer(key), trust_env=False)
        assert answer.status_code == 401
        assert "revoked" in answer.json()["error"]["message"]


def test_a_damaged_or_missing_file_lets_nobody_in(
    server: LiveServer, http: httpx.Client, catalogue: Path, keys: dict[str, str]
) -> None:
    path = catalogue / "keys.json"
    content = path.read_bytes()
    try:
        for damage in (lambda: path.write_bytes(content[:-9]), path.unlink):
            damage()
            for headers in ({}, bearer(keys["admin"])):
                answer = http.get(ITEM, headers=headers)
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "keys_unavailable")
                assert str(path) not in answer.text
        assert (http.get("/livez").status_code, http.get("/readyz").status_code) == (200, 503)
        assert str(path) in server.log()
    finally:
        path.write_bytes(content)
    assert http.get(ITEM, headers=bearer(keys["read"])).status_code == 200


def test_only_a_listed_site_is_let_in_by_cors(http: httpx.Client, keys: dict[str, str]) -> None:
    ask = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    allowed = http.options("/items/a", headers={"Origin": SITE, **ask})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == SITE
    assert "PUT" in allowed.headers["access-control-allow-methods"]
    assert "Authorization" in allowed.headers["access-control-allow-headers"]
    refused = http.options("/items/a", headers={"Origin": "https://other.example", **ask})
    assert refused.status_code == 401
    assert "access-control-allow-origin" not in refused.headers
    for origin in (SITE, "https://other.example"):
        answer = http.get(ITEM, headers={"Origin": origin, **bearer(keys["read"])})
        assert answer.status_code == 200
        assert answer.headers.get("access-control-allow-origin") == (SITE if origin == SITE else None)
        assert "Origin" in answer.headers["vary"]
    missing = http.get(ITEM, headers={"Origin": SITE})  # the page can read why
    assert (missing.status_code, missing.headers["access-control-allow-origin"]) == (401, SITE)


def test_without_keys_only_this_machine_and_with_a_deadline_for_heads(
    catalogue: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path
) -> None:
    bare = build_served_catalogue(tmp_path_factory.mktemp("bare"), tiny_bundle)
    with serving(bare, tmp_path / "log.txt", environment={"LODISC_HEAD_TIMEOUT_S": "1"}) as server:
        port = urlsplit(server.url).port
        assert httpx.get(f"{server.url}{ITEM}", trust_env=False).status_code == 200
        for headers in ({"Host": f"a.example:{port}"}, {"Origin": "https://a.example"}):
            answer = httpx.get(f"{server.url}{ITEM}", headers=headers, trust_env=False)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_local")
        preflight = httpx.options(server.url, headers={"Origin": SITE, "Access-Control-Request-Method": "PUT"})
        assert preflight.status_code == 403
        with (
            pytest.raises(AssertionError, match="lodisc key create"),
            serving(bare, tmp_path / "refused.txt", "--host", "0.0.0.0"),
        ):
            pass
        slow_heads(port or 0)
        malformed(port or 0)
        key = make_key(bare)  # the first key closes a server that runs
        assert httpx.get(f"{server.url}{ITEM}", trust_env=False).status_code == 401
        assert httpx.get(f"{server.url}{ITEM}", headers=bearer(key), trust_env=False).status_code == 200
        assert "Traceback" not in server.log()


def slow_heads(port: int) -> None:
    """A head that drips in, nothing at all, and the rest of a refused body: each ends, a lively connection does not."""
    lively = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
    drips = {
        "head": (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"a: b\r\n"),
        "nothing": (b"", b""),
        "body": (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", b"x"),
        "second head": (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET", b"T"),
    }
    connections = {name: socket.create_connection(("127.0.0.1", port)) for name in drips}
    for name, connection in connections.items():
        connection.sendall(drips[name][0])
    open_still, deadline = set(connections), time.monotonic() + 20
    while open_still and time.monotonic() < deadline:
        assert lively.get("/livez").status_code == 200
        for name in sorted(open_still):
            connection = connections[name]
            connection.settimeout(0.05)
            try:
                connection.sendall(drips[name][1])
                while connection.recv(65536):
                    pass
                open_still.discard(name)
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                open_still.discard(name)
    assert open_still == set()
    for connection in connections.values():
        connection.close()
    lively.close()


def malformed(port: int) -> None:
    """What is no HTTP, or a head without end, gets an answer of our shape."""
    for sent in (b"no HTTP\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 200_000):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(sent)
            answer = connection.recv(65536)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert json.loads(body)["error"]["code"] == "malformed_http"
