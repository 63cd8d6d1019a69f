"""What a client can send wrong, to a really started server: always our error shape, never a 5xx."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from live_server import LiveServer, serving
from served_catalogue import COLOURS, build_served_catalogue, drawn_picture, encoded

GOOD = encoded(drawn_picture(COLOURS["Viridis/lime"], 7))
MAX_BODY = 200_000
LIMITS = {
    "LODISC_MAX_BODY_BYTES": str(MAX_BODY),
    "LODISC_MAX_PICTURES": "4",
    "LODISC_MAX_PIXELS": "100000",
    "LODISC_BODY_TIMEOUT_S": "1",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("served")
    catalogue = build_served_catalogue(folder, tiny_bundle)
    with serving(catalogue, folder / "log.txt", "--allow-writes", environment=LIMITS) as running:
        yield running
        assert "Traceback" not in running.log()


@pytest.fixture(scope="module")
def http(server: LiveServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client


def assert_refused(answer: httpx.Response, status: int, said: str = "", code: str = "") -> None:
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert set(document) == {"error"}
    assert set(document["error"]) == {"code", "message", "detail"}
    assert said in document["error"]["message"]
    assert code in document["error"]["code"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.fixture(autouse=True)
def _a_good_request_is_still_answered(http: httpx.Client) -> Iterator[None]:
    yield
    answer = http.post("/search", files={"images": ("good.png", GOOD)})
    assert answer.status_code == 200
    assert answer.json()["matches"][0]["labels"]["species"] == "lime"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/no/such/route", 404, "no_such_route"),
        ("GET", "/search/", 404, "no_such_route"),
        ("GET", "/schema.json", 404, "no_such_route"),
        ("GET", "/docs.json", 404, "no_such_route"),
        ("GET", "/static_content/swagger-ui.css", 404, "no_such_route"),
        ("GET", "/search", 405, "method_not_allowed"),
        ("OPTIONS", "/search", 405, "method_not_allowed"),
        ("POST", "/livez", 405, "method_not_allowed"),
        ("POST", "/metrics", 405, "method_not_allowed"),
        ("POST", "/", 405, "method_not_allowed"),
        ("PATCH", "/items/a", 405, "method_not_allowed"),
        ("BREW", "/items", 405, "method_not_allowed"),
        ("DELETE", "/items/no/such", 404, "not_found"),
        ("DELETE", "/items/..%2f..%2fetc%2fpasswd", 404, "not_found"),
        ("GET", "/items/../../etc/passwd/thumbnail", 404, ""),
        ("GET", "/items/%00", 400, "malformed_request"),
        ("GET", "/items/%ff%fe", 404, "not_found"),
        ("GET", "/items/" + "x" * 5000, 400, "malformed_request"),
        ("GET", "/items?limit=many", 400, "malformed_request"),
        ("GET", "/items?filter=1", 400, "invalid_filter"),
        ("GET", "/items?filter=", 400, "invalid_filter"),
        ("GET", "/items?filter=gneus==1", 400, "invalid_filter"),
        ("GET", "/items?filter=genus==%ff", 400, "invalid_filter"),
        ("GET", "/items?filter=exists(genus)&filter=exists(genus)", 400, "malformed_request"),
        ("GET", "/items?colour=red", 400, "malformed_request"),
        ("GET", "/stats?verbose=1", 400, "malformed_request"),
    ],
)
def test_routes(http: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    answer = http.request(method, path)
    assert_refused(answer, status, code=code)
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize("route", ["/search", "/embed"])
@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("", b"", 415),
        ("text/plain", b"hello", 415),
        ("application/vnd.bentoml+pickle", b"\x80\x04.", 415),
        ("application/x-www-form-urlencoded", b"k=1", 415),
        ("image/png", GOOD, 415),
        ("application/json", b"", 400),
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b"\xff\xfe\x00", 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b'{"images": NaN}', 400),
        ("application/json", b'{"k": ' + b"9" * 5000 + b"}", 400),
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=", b"--\r\n", 400),
        ("multipart/form-data; boundary=XX", b"", 400),
        ("multipart/form-data; boundary=XX", b"--XX\r\nnonsense", 400),
        ("multipart/form-data; boundary=\xe9", b"--\xe9\r\n", 400),
    ],
)
def test_bodies(http: httpx.Client, route: str, content_type: str, body: bytes, status: int) -> None:
    headers = {"Content-Type": content_type.encode("latin-1")} if content_type else {}
    assert_refused(http.post(route, content=body, headers=headers), status)  # type: ignore[arg-type]


PICTURE = base64.b64encode(GOOD).decode()
SEARCHES: list[tuple[dict[str, Any], str]] = [
    ({}, "one of `images`, `embedding` and `item_id`"),
    ({"images": []}, "none of them"),
    ({"images": [PICTURE], "item_id": "a"}, "images and item_id"),
    ({"images": [PICTURE], "colour": 1}, "it knows images, embedding, item_id, k, filter"),
    ({"images": [PICTURE], "\ud800": 1}, "is no field"),
    ({"images": [PICTURE], "filter": "genus = 'A'"}, "filter, column 7: `=` is not used here; write =="),
    ({"images": [PICTURE], "filter": "gneus == 'A'"}, "no item has a label or metadata gneus; did you mean genus?"),
    ({"images": [PICTURE], "filter": {"genus": "A"}}, "`filter` is an object, expected text such as"),
    ({"images": [PICTURE], "filter": ""}, "filter, column 1"),
    ({"images": [PICTURE], "filter": "genus == '\ud800'"}, "is no character of a text"),
    ({"images": [PICTURE], "filter": "(" * 20_000}, "nested deeper"),
    ({"images": [PICTURE], "filter": "genus == 'A'" + " " * 20_000}, "at most 20000 characters"),
    ({"images": [PICTURE], "rerank": True}, "gives no patch features"),
    ({"images": [PICTURE], "rerank": 1}, "true or false"),
    ({"images": [PICTURE], "explain": True}, "gives no patch features"),
    ({"images": [PICTURE], "explain": None}, "true or false"),
    ({"images": [PICTURE], "k": 0}, "from 1 to 1000"),
    ({"images": [PICTURE], "k": 1001}, "from 1 to 1000"),
    ({"images": [PICTURE], "k": 2.5}, "whole number"),
    ({"images": [PICTURE], "k": True}, "whole number"),
    ({"images": [PICTURE], "k": None}, "whole number"),
    ({"images": [PICTURE], "k": "٣"}, "whole number"),
    ({"images": PICTURE}, "array of base64"),
    ({"images": [1]}, "base64 string"),
    ({"images": ["***"]}, "not base64"),
    ({"images": ["http://127.0.0.1:9/x.png"]}, "never fetches"),
    ({"images": ["data:image/png;base64,AAAA"]}, "is a URL"),
    ({"item_id": 7}, "id of an item"),
    ({"item_id": ""}, "id of an item"),
    ({"item_id": "a\0b"}, "NUL"),
    ({"item_id": "\ud800"}, "surrogate"),
    ({"embedding": [1, 2]}, "this encoder's embeddings"),
    ({"embedding": "AAAA"}, "float32"),
    ({"embedding": "!"}, "not base64"),
    ({"embedding": {"a": 1}}, "an object"),
]


@pytest.mark.parametrize(("sent", "said"), SEARCHES, ids=range(len(SEARCHES)))
def test_searches(http: httpx.Client, sent: dict[str, Any], said: str) -> None:
    body = json.dumps(sent).encode("ascii")
    assert_refused(http.post("/search", content=body, headers={"Content-Type": "application/json"}), 400, said)


def test_embeddings_without_a_direction(http: httpx.Client) -> None:
    dim = http.get("/stats").json()["model"]["dim"]
    huge = f'{{"embedding": [{", ".join(["1e308"] * dim)}]}}'
    assert http.post("/search", content=huge, headers={"Content-Type": "application/json"}).status_code == 200
    for number in ("0", "1e999", "true", '"1"', "null", "9" * 400, "5e-324"):
        body = f'{{"embedding": [{", ".join([number] * dim)}]}}'
        answer = http.post("/search", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 400), answer.text
    assert_refused(http.post("/search", json={"embedding": [0] * dim}), 400, "no direction")


def test_options_are_never_ignored(http: httpx.Client) -> None:
    picture = {"images": ("a.png", GOOD)}
    assert len(http.post("/search?k=2", files=picture).json()["matches"]) == 2
    assert len(http.post("/search", files=picture, data={"k": "2"}).json()["matches"]) == 2
    assert_refused(http.post("/search?k=2", files=picture, data={"k": "2"}), 400, "twice")
    assert_refused(http.post("/search?k=2&k=3", files=picture), 400, "twice")
    twice = b'{"item_id": "a", "k": 1, "k": 2}'
    refused = http.post("/search", content=twice, headers={"Content-Type": "application/json"})
    assert_refused(refused, 400, "'k' is given twice")
    assert_refused(http.post("/search?colour=1", files=picture), 400, "it knows")
    assert_refused(http.post("/search?filter=1", files=picture), 400, "filter, column 1", "invalid_filter")
    assert_refused(http.post("/search?rerank=1", files=picture), 400, "gives no patch features")
    assert http.post("/search?rerank=null&explain=0", files=picture).status_code == 200
    assert_refused(http.post("/embed", files=picture, data={"k": "2"}), 400, "it knows images, encoding, attention")
    assert_refused(http.post("/embed?encoding=hex", files=picture), 400, "float or base64")
    assert_refused(http.post("/embed?attention=maybe", files=picture), 400, "true or false")
    assert_refused(http.post("/embed", json={"images": []}), 400, "no picture")
    assert_refused(http.post("/search", json={"item_id": "no/such.png"}), 404, code="not_found")


def test_a_url_in_a_file_field_is_refused_and_not_fetched(http: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.5)
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/x.png"
        as_text = http.post("/search", files={"images": (None, url)})
        assert_refused(as_text, 400, "never fetches")
        as_file = http.post("/search", files={"images": ("a.png", url.encode())})
        assert_refused(as_file, 422)
        with pytest.raises(TimeoutError):
            canary.accept()


def test_limits(http: httpx.Client) -> None:
    too_long = http.post("/search", content=b"x" * (MAX_BODY + 1), headers={"Content-Type": "application/json"})
    assert_refused(too_long, 413, code="body_too_large")
    too_many = [("images", (f"{row}.png", GOOD)) for row in range(5)]
    assert_refused(http.post("/embed", files=too_many), 413, "at most 4")
    parts = [("images", (f"{row}.png", b"")) for row in range(500)]
    assert_refused(http.post("/embed", files=parts), 413, "parts")
    large = encoded(drawn_picture((1, 2, 3), 0, size=(500, 300)), "JPEG")
    assert_refused(http.post("/search", files={"images": ("large.jpg", large)}), 422, code="picture_too_large")


def test_an_endless_chunked_body_is_cut_off(http: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 10_000

    answer = http.post("/search", content=endless(), headers={"Content-Type": "application/json"})
    assert_refused(answer, 413, code="body_too_large")


def test_a_body_that_never_comes_is_408(server: LiveServer) -> None:
    connection = HTTPConnection(str(urlsplit(server.url).netloc), timeout=20)
    connection.putrequest("POST", "/search")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b'{"k"')
    answer = connection.getresponse()
    assert answer.status == 408
    assert json.loads(answer.read())["error"]["code"] == "body_too_slow"
    connection.close()


def test_a_client_that_hangs_up_hurts_nobody(server: LiveServer) -> None:
    host, port = str(urlsplit(server.url).hostname), int(urlsplit(server.url).port or 0)
    for data in (
        b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc",
        b"\x16\x03\x01\x02",
        b"GET",
    ):
        with socket.create_connection((host, port)) as connection:
            connection.sendall(data)


@pytest.mark.parametrize(
    ("files", "data", "status", "said"),
    [
        ({}, {"labels": "{}"}, 400, "image"),
        ({"image": ("a.png", b"junk")}, {}, 422, ""),
        ({"image": ("a.png", GOOD)}, {"labels": "["}, 400, "labels"),
        ({"image": ("a.png", GOOD)}, {"labels": '{"species": 1}'}, 400, "labels"),
        ({"image": ("a.png", GOOD)}, {"labels": '{"year": "1"}', "metadata": '{"year": 1}'}, 400, "call one otherwise"),
        ({"image": ("a.png", GOOD)}, {"metadata": '{"id": 1}'}, 400, "`id` is the item's own"),
        ({"image": ("a.png", GOOD)}, {"labels": '{"id": "a"}'}, 400, "`id` is the item's own"),
        ({"image": ("a.png", GOOD)}, {"metadata": '{"a": [1]}'}, 400, "metadata"),
        ({"image": ("a.png", GOOD)}, {"metadata": '{"a": "\\ud800"}'}, 400, "metadata"),
        ({"image": ("a.png", GOOD)}, {"colour": "red"}, 400, "it knows"),
    ],
)
def test_puts(http: httpx.Client, files: Any, data: Any, status: int, said: str) -> None:
    if not files:
        files = {"labels": (None, data.pop("labels"))}
    assert_refused(http.put("/items/new.png", files=files, data=data), status, said)
    assert http.get("/items/new.png").status_code == 404


def test_sixteen_clients_with_bad_pictures_among_good_ones(server: LiveServer) -> None:
    wrong: list[str] = []
    lock = threading.Lock()

    def client(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
            for turn in range(8):
                bad = (number + turn) % 4 == 0
                data = GOOD[: len(GOOD) // 2] if bad else GOOD
                answer = http.post("/search", files={"images": ("a.png", data)})
                expected = 422 if bad else 200
                if answer.status_code != expected:
                    with lock:
                        wrong.append(f"{answer.status_code} instead of {expected}: {answer.text[:200]}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(client, range(16)))
    assert wrong == []
