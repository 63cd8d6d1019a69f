from pathlib import Path
from typing import Any

import pytest

from encoder.errors import ConfigError
from service.admission import Admission
from service.cors import allowed_origin, preflight
from service.key_file import add_key, new_key
from service.openapi import description
from service.problems import KeyMissingError, KeyRefusedError, NotLocalError, RequestError, ScopeError
from service.scopes import SCOPES, covers, needed_scope
from service.settings import Settings


def scope_of(
    method: str = "GET",
    path: str = "/items",
    *headers: tuple[str, str],
    host: str | None = "localhost:3000",
    server: tuple[str, int | None] = ("127.0.0.1", 3000),
) -> dict[str, Any]:
    sent = [*headers, *([("host", host)] if host is not None else [])]
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent]
    return {"type": "http", "method": method, "path": path, "headers": encoded, "server": server}


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/", None),
        ("HEAD", "/", None),
        ("GET", "/page/app.js", None),
        ("GET", "/readyz", None),
        ("POST", "/", "write"),
        ("DELETE", "/page/app.js", "write"),
        ("GET", "/page", "read"),
        ("GET", "/items/a", "read"),
        ("HEAD", "/items/a/thumbnail", "read"),
        ("GET", "/no/such/route", "read"),
        ("POST", "/embed", "read"),
        ("POST", "/search", "read"),
        ("POST", "/search/", "write"),
        ("PUT", "/search", "write"),
        ("PUT", "/items/a", "write"),
        ("BREW", "/items/a", "write"),
        ("GET", "/metrics", "admin"),
        ("DELETE", "/metrics", "admin"),
    ],
)
def test_the_scope_that_a_request_needs(method: str, path: str, needed: str | None) -> None:
    assert needed_scope(method, path) == needed


def test_a_scope_includes_those_before_it() -> None:
    assert [[covers(held, needed) for needed in SCOPES] for held in SCOPES] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_the_description_says_what_is_enforced() -> None:
    document = description()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            needed = needed_scope(method.upper(), path)
            assert operation["security"] == ([] if needed is None else [{"key": [needed]}, {}])
            assert ("401" in operation["responses"]) == (needed is not None)


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    texts = {}
    for scope in SCOPES:
        texts[scope], key = new_key(scope, scope)
        add_key(tmp_path / "keys.json", key)
    return texts


def test_every_scope_on_every_kind_of_request(tmp_path: Path, keys: dict[str, str]) -> None:
    admission = Admission(Settings(catalogue=tmp_path))
    for needed, (method, path) in {
        "read": ("POST", "/search"),
        "write": ("PUT", "/items/a"),
        "admin": ("GET", "/metrics"),
    }.items():
        with pytest.raises(KeyMissingError):
            admission.admit(scope_of(method, path))
        for held, text in keys.items():
            # With keys the address does not matter.
            asked = scope_of(
                method, path, ("authorization", f"bearer {text}"), host="a.example", server=("10.0.0.1", 1)
            )
            if covers(held, needed):
                key = admission.admit(asked)
                assert key is not None
                assert key.scope == held
            else:
                with pytest.raises(ScopeError, match=f"has the scope {held}, this needs {needed}") as caught:
                    admission.admit(asked)
                assert f'scope="{needed}"' in caught.value.challenge


def test_headers_that_carry_no_key(tmp_path: Path, keys: dict[str, str]) -> None:
    admission = Admission(Settings(catalogue=tmp_path))
    right = ("authorization", f"Bearer {keys['admin']}")
    for headers in (
        [right, right],
        [("authorization", keys["admin"])],
        [("authorization", f"Basic {keys['admin']}")],
        [("authorization", "Bearer")],
        [("authorization", "")],
        [("authorization", f"Bearer {keys['admin']}, Bearer {keys['admin']}")],
        [("authorization", "Bearer \xff")],
    ):
        with pytest.raises(KeyRefusedError):
            admission.admit(scope_of("GET", "/items", *headers))
    assert admission.admit(scope_of("GET", "/", ("authorization", "Bearer wrong"))) is None


LOCAL_HOSTS = ("localhost", "localhost:3000", "LOCALHOST", "127.0.0.1:3000", "127.8.9.1", "[::1]:3000", None)
OTHER_HOSTS = ("a.example", "localhost.a.example", "10.0.0.1:3000", "[fe80::1]", "[::1", "", "127.0.0.1.a.example", "1")


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_without_keys_this_machine_is_answered(tmp_path: Path, host: str | None) -> None:
    admission = Admission(Settings(catalogue=tmp_path))
    for server in (("127.0.0.1", 3000), ("::1", 3000), ("::ffff:127.0.0.1", 3000), ("/run/lodisc.sock", None)):
        assert admission.admit(scope_of(host=host, server=server)) is None


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_without_keys_no_other_name_is_answered(tmp_path: Path, host: str) -> None:
    admission = Admission(Settings(catalogue=tmp_path))
    with pytest.raises(NotLocalError, match="LODISC_INSECURE"):
        admission.admit(scope_of(host=host))
    assert admission.admit(scope_of(path="/livez", host=host)) is None
    assert Admission(Settings(catalogue=tmp_path, insecure=True)).admit(scope_of(host=host)) is None


@pytest.mark.parametrize("server", [("10.0.0.1", 3000), ("0.0.0.0", 3000), ("fe80::1", 3000), ("::ffff:10.0.0.1", 1)])
def test_without_keys_no_other_address_is_answered(tmp_path: Path, server: tuple[str, int]) -> None:
    with pytest.raises(NotLocalError, match="its own machine only"):
        Admission(Settings(catalogue=tmp_path)).admit(scope_of(server=server))


def test_without_keys_no_page_of_another_site_is_answered(tmp_path: Path) -> None:
    admission = Admission(Settings(catalogue=tmp_path, cors_origins=("https://a.example",)))
    for origin in ("http://localhost:3000", "http://LOCALHOST:3000", "https://a.example"):
        assert admission.admit(scope_of("POST", "/search", ("origin", origin))) is None
    for origin in ("null", "", "http://localhost:3001", "https://b.example", "http://a.example", "localhost:3000"):
        with pytest.raises(NotLocalError, match="another site"):
            admission.admit(scope_of("POST", "/search", ("origin", origin)))


def test_preflights_of_listed_sites_are_answered() -> None:
    origins = ("https://a.example",)
    asks = ("access-control-request-method", "PUT")
    for method, headers, answered in (
        ("OPTIONS", [("origin", "https://a.example"), asks], True),
        ("OPTIONS", [("origin", "https://a.example")], False),
        ("OPTIONS", [("origin", "https://b.example"), asks], False),
        ("GET", [("origin", "https://a.example"), asks], False),
        ("OPTIONS", [asks], False),
    ):
        scope = scope_of(method, "/items/a", *headers)
        assert (preflight(scope, allowed_origin(scope, origins)) is not None) == answered


@pytest.mark.parametrize("origin", ["*", "null", "a.example", "https://a.example/", "https://A.example", "ftp://a", ""])
def test_what_is_no_site_cannot_be_listed(origin: str) -> None:
    with pytest.raises(ConfigError, match="https://example.org"):
        Settings(cors_origins=(origin,))


def test_the_errors_are_of_our_shape() -> None:
    assert issubclass(KeyMissingError, RequestError)
    assert (KeyMissingError.status, KeyRefusedError.status, ScopeError.status, NotLocalError.status) == (
        401,
        401,
        403,
        403,
    )
