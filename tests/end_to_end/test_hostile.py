"""A server against whoever means it harm. All the time somebody else asks it for something good and gets it right.

After every test: no answer was a 5xx, no process ended or was replaced, and the good answers were right. At the end:
the workers have not grown beyond a bound, nothing was written beside the catalogue, and nobody has called the canary,
a port of this machine that is named wherever a server could be led to fetch something.
"""

import base64
import json
import os
import pickle
import random
import socket
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import numpy as np
import pytest
import requests
import schemathesis
from guard import GOOD, Guard
from hostile_pictures import bombs, mutated, originals, polyglots, sizes_that_lie
from hostile_texts import FILTERS, TRAVERSALS
from hypothesis import HealthCheck, Phase, given, seed, settings
from live_server import LiveServer, serving
from schemathesis.generation import GenerationMode
from served_catalogue import build_served_catalogue

from encoder.bundle import Bundle
from encoder.errors import PictureError
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess
from service.key_file import add_key, new_key
from service.scopes import SCOPES, needed_scope

MAX_PIXELS, MAX_PICTURES, MAX_BODY = 1_000_000, 16, 8_000_000
LIMITS = {
    "LODISC_MAX_PIXELS": str(MAX_PIXELS),
    "LODISC_MAX_PICTURES": str(MAX_PICTURES),
    "LODISC_MAX_BODY_BYTES": str(MAX_BODY),
    "LODISC_BODY_TIMEOUT_S": "2",
    "LODISC_HEAD_TIMEOUT_S": "2",
}
MOST_GROWTH = 200 * 2**20
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
OTHER_PATHS = (
    "/no/such",
    "/schema.json",
    "/docs.json",
    "/static_content/swagger-ui.css",
    "/items/",
    "/page/x",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    folder = tmp_path_factory.mktemp("outer") / "inner"
    folder.mkdir()
    build_served_catalogue(folder, tiny_bundle)
    return folder


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    texts = {}
    for scope in SCOPES:
        texts[scope], key = new_key(scope, scope)
        add_key(folder / "catalogue" / "keys.json", key)
    return texts


@pytest.fixture(scope="module")
def server(folder: Path, keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    log_path = tmp_path_factory.mktemp("log") / "log.txt"
    with serving(folder / "catalogue", log_path, environment=LIMITS) as running:
        yield running
        assert "Traceback" not in running.log()
        assert not any(key.split("_", 2)[2] in running.log() for key in keys.values())


@pytest.fixture(scope="module")
def guard(server: LiveServer, keys: dict[str, str], folder: Path) -> Iterator[Guard]:
    before = files_of(folder)
    guard = Guard(server, keys["read"])
    yield guard
    guard.close()
    assert guard.memory - guard.memory_before < MOST_GROWTH
    assert files_of(folder) == before


def files_of(folder: Path) -> set[str]:
    """All files around the catalogue but those in which SQLite and the search snapshot live."""
    found = {str(path.relative_to(folder.parent)) for path in folder.parent.rglob("*")}
    return {name for name in found if "catalogue.sqlite" not in name and "/ann" not in name}


@pytest.fixture(autouse=True)
def _nobody_else_is_hurt(guard: Guard) -> Iterator[None]:
    yield
    guard.look()


@pytest.fixture(scope="module")
def canary() -> Iterator[str]:
    """The address of a port that somebody listens to; nobody may call."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/x.png"
        listening.settimeout(0.5)
        with pytest.raises(TimeoutError):
            listening.accept()


@pytest.fixture(scope="module")
def http(server: LiveServer, keys: dict[str, str]) -> Iterator[httpx.Client]:
    """A client that may do anything; that it is answered with a 5xx is an error."""

    def no_5xx(answer: httpx.Response) -> None:
        answer.read()
        assert answer.status_code < 500, f"{answer.request.method} {answer.request.url}: {answer.text[:500]}"

    with httpx.Client(
        base_url=server.url,
        headers={"Authorization": f"Bearer {keys['admin']}"},
        timeout=30,
        trust_env=False,
        event_hooks={"response": [no_5xx]},
    ) as client:
        yield client


def raw(server: LiveServer, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes]:
    """A request whose target is sent as it is, without the tidying of a client."""
    connection = HTTPConnection(str(urlsplit(server.url).netloc), timeout=30)
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


# Pictures


@pytest.fixture(scope="module")
def outcome_of(tiny_bundle: Path) -> Any:
    """What becomes of a picture without a server: its embedding, or the code of its error."""
    encoder = ImageEncoder(Bundle.open(tiny_bundle))

    def outcome(data: bytes) -> Any:
        preprocessing = encoder.manifest.preprocessing
        try:
            image = decode_picture(data, max_pixels=MAX_PIXELS, min_side_wanted=preprocessing.image_size)
        except PictureError as error:
            return error.code
        return encoder.encode(preprocess(image, preprocessing)[np.newaxis]).embedding_BD[0]

    return outcome


def embed_among_good_ones(http: httpx.Client, pictures: list[bytes], outcome_of: Any) -> list[Any]:
    """Send the pictures in full requests with a good one somewhere in each, and hold each position to its outcome."""
    chance, outcomes = random.Random(5), []
    good = outcome_of(GOOD)
    for start in range(0, len(pictures), MAX_PICTURES - 1):
        sent = pictures[start : start + MAX_PICTURES - 1]
        place = chance.randrange(len(sent) + 1)
        sent = [*sent[:place], GOOD, *sent[place:]]
        files = [("images", (f"{row}.png", data)) for row, data in enumerate(sent)]
        answer = http.post("/embed", files=files)
        assert answer.status_code == 200, answer.text
        results = answer.json()["results"]
        np.testing.assert_allclose(results[place]["embedding"], good, atol=1e-6)
        for position, (data, result) in enumerate(zip(sent, results, strict=True)):
            outcomes.append(outcome := outcome_of(data))
            if isinstance(outcome, str):
                assert result["error"]["code"] == outcome
                assert result["error"]["detail"]["position"] == position
            else:
                np.testing.assert_allclose(result["embedding"], outcome, atol=1e-5)
    return outcomes


def test_two_thousand_mutated_pictures_fail_alone(http: httpx.Client, outcome_of: Any) -> None:
    pictures = list(mutated(seed=3))
    assert len(pictures) >= 2000
    outcomes = embed_among_good_ones(http, pictures, outcome_of)
    codes = {outcome for outcome in outcomes if isinstance(outcome, str)}
    assert codes == {"undecodable_picture", "unsupported_format", "picture_too_large"}
    assert 200 < sum(isinstance(outcome, str) for outcome in outcomes) < len(outcomes) - 200  # both are tried


def test_sizes_that_lie_and_bombs(http: httpx.Client, outcome_of: Any) -> None:
    large = int(MAX_PIXELS**0.5) + 1
    pictures = [*sizes_that_lie(), *bombs(large)]
    embed_among_good_ones(http, [data for data in pictures if len(data) < MAX_BODY // MAX_PICTURES], outcome_of)
    for data in bombs(large):
        answer = http.post("/search", files={"images": ("a.png", data)})
        assert answer.status_code in (200, 422)


def test_polyglots(http: httpx.Client, outcome_of: Any, canary: str) -> None:
    embed_among_good_ones(http, list(polyglots(canary)), outcome_of)


def test_one_bad_picture_alone_is_a_422_on_every_route_that_takes_one(http: httpx.Client) -> None:
    for name, data in originals().items():
        cut = data[: len(data) // 3]
        for answer in (
            http.post("/embed", files={"images": (name, cut)}),
            http.post("/search", json={"images": [base64.b64encode(cut).decode()]}),
            http.put("/items/bad.png", files={"image": (name, cut)}),
        ):
            assert answer.status_code in (200, 422)
            if answer.status_code == 422:
                assert answer.json()["error"]["code"] == "undecodable_picture"
    http.delete("/items/bad.png")


def test_names_and_types_of_files_decide_nothing(http: httpx.Client) -> None:
    right = http.post("/embed", files={"images": ("a.png", GOOD)}).json()
    for name in ("a.jpg", "a.exe", "../../../etc/passwd", "a\0.png", "/dev/zero", "a" * 200, "%2e%2e", "\u202egnp.a"):
        for content_type in ("image/jpeg", "text/html", "application/x-httpd-php", "image/svg+xml", "nonsense"):
            answer = http.post("/embed", files={"images": (name, GOOD, content_type)})
            assert (answer.status_code, answer.json()) == (200, right)


# Bodies and heads


def test_a_hundred_thousand_parts(http: httpx.Client) -> None:
    head = b'--X\r\nContent-Disposition: form-data; name="images"'
    for part in (head + b'; filename="a"\r\n\r\n\r\n', head + b"\r\n\r\n1\r\n", b"--X\r\n\r\n\r\n"):
        body = part * 100_000 + b"--X--\r\n"
        for path in ("/embed", "/search"):
            answer = http.post(path, content=body, headers={"Content-Type": "multipart/form-data; boundary=X"})
            assert answer.status_code in (400, 413)
    headers = b"".join(b"X-%d: y\r\n" % number for number in range(100_000))
    body = head + b"\r\n" + headers + b"\r\n1\r\n--X--\r\n"
    answer = http.post("/embed", content=body, headers={"Content-Type": "multipart/form-data; boundary=X"})
    assert answer.status_code in (400, 413)


def test_bodies_that_are_not_what_they_say(http: httpx.Client) -> None:
    chance = random.Random(9)
    form = "multipart/form-data; boundary=X"
    whole = b'--X\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n' + GOOD + b"\r\n--X--\r\n"
    for content_type in (
        form,
        "multipart/form-data",
        "application/json",
        "text/plain",
        "",
        "a/b; c",
        f"{form}; boundary=Y",
    ):
        for body in (
            b"",
            whole,
            whole[:60],
            b"{",
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"\xff" * 999,
            chance.randbytes(999),
        ):
            for path in ("/embed", "/search", "/items/a.png"):
                method = "PUT" if path.startswith("/items") else "POST"
                answer = http.request(method, path, content=body, headers={"Content-Type": content_type})
                assert answer.status_code in (200, 400, 413, 415)
    for _ in range(150):
        body = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            body[chance.randrange(120)] = chance.randrange(256)
        assert http.post("/search", content=bytes(body), headers={"Content-Type": form}).status_code in (200, 400, 422)
    for encoding in ("gzip", "br", "deflate, gzip"):
        answer = http.post("/search", content=whole, headers={"Content-Type": form, "Content-Encoding": encoding})
        assert answer.status_code in (200, 400, 415)
    http.delete("/items/a.png")


def test_slow_and_broken_connections(server: LiveServer, keys: dict[str, str]) -> None:
    """Forty that drip, with and without a key, and some that speak no HTTP: each is answered or closed."""
    port = int(urlsplit(server.url).port or 0)
    key = f"Authorization: Bearer {keys['write']}\r\n".encode()
    post = b"POST /search HTTP/1.1\r\nHost: localhost\r\n"
    starts = [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n"),
        (b"GET /" + b"a" * 60_000, b"a"),
        (post + key + b"Content-Type: application/json\r\nContent-Length: 9999\r\n\r\n", b" "),
        (post + key + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (post + b"Content-Length: 9999\r\n\r\n", b" "),
        (post + key + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (post + key + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", b"0"),
        (post + key + b"Content-Length: -1\r\n\r\n", b"0"),
        (post + key + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n", b"0"),
    ]
    connections = []
    for start, drip in starts * 4:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(start)
        connection.settimeout(0.01)
        connections.append((connection, drip))
    deadline = time.monotonic() + 40
    while connections and time.monotonic() < deadline:
        connections = [(connection, drip) for connection, drip in connections if still_open(connection, drip)]
        time.sleep(0.05)
    assert connections == []
    for nonsense in (
        b"\x16\x03\x01\x02\x00",
        b"\0" * 4096,
        b"GET / HTTP/x.y\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(nonsense)
            answer = connection.recv(4096)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401"))


def still_open(connection: socket.socket, drip: bytes) -> bool:
    try:
        connection.sendall(drip)
        while data := connection.recv(65536):
            assert not data.startswith(b"HTTP/1.1 5"), data
    except TimeoutError:
        return True
    except OSError:
        pass
    connection.close()
    return False


# What must not be fetched, run or reached


def test_urls_are_refused_and_never_asked(http: httpx.Client, canary: str) -> None:
    for path in ("/embed", "/search"):
        for field in ({"images": (None, canary)}, {"images": (canary, GOOD)}, {"images": ("a.png", canary.encode())}):
            assert http.post(path, files=field).status_code in (200, 400, 422)
        for spelling in (
            canary,
            canary.upper(),
            f" {canary}",
            f"file:///etc/passwd#{canary}",
            f"data:text/html,{canary}",
        ):
            assert http.post(path, json={"images": [spelling]}).status_code == 400
            assert http.post(path, json={"images": spelling}).status_code == 400
            assert http.post(path, json={"images": [{"url": spelling}]}).status_code == 400
            assert http.post(path, json={"image": spelling, "url": spelling}).status_code == 400
            assert http.post(f"{path}?images={quote(spelling)}&url={quote(spelling)}").status_code in (400, 415)
    for sent in ({"item_id": canary}, {"embedding": canary}, {"item_id": "x", "filter": f"id == '{canary}'"}):
        assert http.post("/search", json=sent).status_code in (400, 404)
    assert http.put("/items/a.png", files={"image": (None, canary)}).status_code == 400
    assert http.get(f"/items/{quote(canary, safe='')}").status_code == 404
    assert http.get(f"/items?cursor={quote(canary)}").status_code == 200
    pointing = dict.fromkeys(("Referer", "Origin", "Forwarded", "X-Forwarded-Host", "X-Original-URL", "Link"), canary)
    assert http.get("/items", headers=pointing).status_code == 200


class Exploit:
    """What a pickle can do: run a command where it is loaded."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self._marker),)


PICKLES = (
    "application/vnd.bentoml+pickle",
    "application/vnd.bentoml.pickle",
    "application/pickle",
    "application/x-pickle; charset=utf-8",
    "application/python-pickle",
    "Application/X-Python-Pickle",
)


def test_pickles_are_refused_on_every_route(
    server: LiveServer, http: httpx.Client, keys: dict[str, str], tmp_path: Path
) -> None:
    marker = tmp_path / "was-here"
    body = pickle.dumps({"images": Exploit(marker)})
    pickle.loads(body)
    assert marker.exists()  # it would work
    marker.rmdir()
    for path in paths_of(http):
        for method in METHODS[:-2]:
            for content_type in PICKLES if method == "POST" else PICKLES[:1]:
                headers = {"Content-Type": content_type}
                assert http.request(method, path, content=body, headers=headers).status_code == 415, (method, path)
    for content_type in (*PICKLES, "application/json", "application/octet-stream", "multipart/form-data; boundary=X"):
        headers = {"Authorization": f"Bearer {keys['write']}", "Content-Type": content_type}
        for path in ("/embed", "/search"):
            assert raw(server, "POST", path, headers, body)[0] in (400, 415)
    assert not marker.exists()


def paths_of(http: httpx.Client) -> list[str]:
    described = http.get("/openapi.json").json()["paths"]
    return [*(path.replace("{id}", "a.png") for path in described), *OTHER_PATHS]


def test_no_path_reaches_the_file_system(
    server: LiveServer, http: httpx.Client, keys: dict[str, str], folder: Path
) -> None:
    secrets = [b"root:", *(part.encode() for part in (folder / "catalogue" / "keys.json").read_text().split('"'))]
    hashes = [secret for secret in secrets if len(secret) == 64 or secret == b"root:"]
    assert len(hashes) == 1 + len(SCOPES)
    headers = {"Authorization": f"Bearer {keys['admin']}"}
    targets = ("/items/{}", "/items/{}/thumbnail", "/page/{}", "/{}", "/items?cursor={}", "/items?filter=id=='{}'")
    for traversal in TRAVERSALS:
        traversal = traversal.replace(" ", "%20")
        for target in targets:
            status, content = raw(server, "GET", target.format(traversal), headers)
            assert status in (200, 400, 404)
            assert not any(secret in content for secret in hashes)
            # What is found is an item or a page, never a file.
            assert status != 200 or target.startswith("/items?") or traversal in (".", "..", "~")
        assert raw(server, "DELETE", f"/items/{traversal}", headers)[0] in (400, 404)


def test_an_id_is_a_text_and_never_a_path(http: httpx.Client, folder: Path) -> None:
    for item_id in (
        "../../escaped.png",
        "/tmp/escaped.png",
        "a/../../../b",
        "C:\\x",
        "a" * 4000,
        "'; DROP TABLE items;--",
    ):
        at = f"/items/{quote(item_id, safe='')}"
        assert http.put(at, files={"image": ("a.png", GOOD)}).status_code == 200
        assert http.get(at).json()["id"] == item_id
        named = http.get("/items", params={"filter": f"id == {json.dumps(item_id)}"})
        assert named.status_code in (200, 400)  # a filter writes a backslash in another way than JSON
        assert http.get(f"{at}/thumbnail").status_code == 200
        assert http.delete(at).status_code == 204
    assert not list(folder.parent.rglob("*escaped*"))


def test_filters_are_read_and_never_run(http: httpx.Client) -> None:
    for wanted in FILTERS:
        for answer in (
            http.get("/items", params={"filter": wanted}),
            http.post("/search", json={"item_id": "Viridis/lime/0.png", "filter": wanted}),
        ):
            assert answer.status_code in (200, 400, 414)
    assert http.get("/stats").json()["catalogue"]["items"] == 16


# Keys


def test_wrong_and_missing_keys_on_every_route_and_method(
    server: LiveServer, http: httpx.Client, keys: dict[str, str], canary: str
) -> None:
    stranger = new_key("", "admin")[0]
    right = keys["admin"]
    wrong: list[list[tuple[str, str]]] = [
        [],
        [("Authorization", f"Bearer {stranger}")],
        [("Authorization", f"Bearer {right[:20]}{stranger[20:]}")],
        [("Authorization", f"Bearer {right}"), ("Authorization", f"Bearer {right}")],
        [("Authorization", f"Basic {base64.b64encode(right.encode()).decode()}")],
        [("Authorization", right)],
        [("X-API-Key", right), ("Cookie", f"key={right}")],
        [("Authorization", "Bearer \xff\xfe")],
    ]
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as stranger_client:
        for path in paths_of(http):
            for method in METHODS:
                # Every spelling with the methods that routes have, the plain ones with all.
                for number, headers in enumerate(wrong if method in ("GET", "POST") else wrong[:3]):
                    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers]
                    answer = stranger_client.request(method, path, headers=sent, content=b"" if number % 2 else canary)
                    if path == "/livez" or needed_scope(method, path) is None:
                        assert answer.status_code in (200, 404, 405)
                    else:
                        assert answer.status_code == 401, (method, path, headers)
                        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert stranger_client.get("/items", params={"key": right, "access_token": right}).status_code == 401


# The description


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_what_the_description_lets_one_think_of(http: httpx.Client, mode: GenerationMode) -> None:
    """Requests that schemathesis draws from the description: what it allows, and what it does not."""
    document = http.get("/openapi.json").json()
    headers = {"Authorization": http.headers["Authorization"]}
    answered = dict.fromkeys(document["paths"], 0)
    with requests.Session() as session:
        session.trust_env = False

        def ask(case: Any) -> None:
            answer = case.call(base_url=str(http.base_url), session=session, headers=headers)
            documented = document["paths"][case.operation.path][case.operation.method]["responses"]
            # 405 for methods that are drawn beside the described ones, 404 for ids that leave the route.
            assert str(answer.status_code) in {*documented, "404", "405"}, answer.text
            answered[case.operation.path] += 1

        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            operation = found.ok()
            described = document["paths"][operation.path][operation.method]
            options = [option for option in described.get("parameters", []) if option["in"] == "query"]
            if mode is GenerationMode.POSITIVE or options or "requestBody" in described:  # else nothing can be wrong
                ask_what_is_drawn(operation.as_strategy(generation_mode=mode), ask)
    assert answered["/search"] >= 15
    assert answered["/items"] >= 15


def ask_what_is_drawn(cases: Any, ask: Callable[[Any], None]) -> None:
    unhurried = settings(
        max_examples=15,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    seed(1)(unhurried(given(cases)(ask)))()
