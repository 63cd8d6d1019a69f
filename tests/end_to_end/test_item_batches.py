"""POST /items: many items at once, each failing alone."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live_server import LiveServer, serving
from served_catalogue import build_served_catalogue, drawn_picture, encoded


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("served")
    with serving(build_served_catalogue(folder, tiny_bundle), folder / "log.txt", "--allow-writes") as started:
        yield started


def new_item(item_id: str, seed: int, **fields: Any) -> dict[str, Any]:
    picture = encoded(drawn_picture((10, 10, 200), seed))
    return {"id": item_id, "image": base64.b64encode(picture).decode(), **fields}


def post(server: LiveServer, document: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/items", json=document, trust_env=False)


def ids(server: LiveServer) -> set[str]:
    page = httpx.get(f"{server.url}/items", params={"limit": 1000}, trust_env=False).json()
    return {item["id"] for item in page["items"]}


def test_good_items_are_put_beside_bad_ones_and_the_same_again_changes_nothing(server: LiveServer) -> None:
    before = ids(server)
    document = {
        "items": [
            new_item("batch/1", 1, labels={"species": "minor"}, metadata={"year": 2020}),
            {"id": "batch/broken", "image": base64.b64encode(b"no picture").decode()},
            new_item("batch/2", 2, labels={"species": 7}),
            {"id": "batch/url", "image": "http://127.0.0.1/a.png"},
            new_item("batch/3", 3),
        ],
        "delete": ["Rubra/rosso/0.png", "was never there"],
    }
    first = post(server, document).json()
    assert first["deleted"] == 1
    assert [("error" in one) for one in first["results"]] == [False, True, True, True, False]
    assert first["results"][0]["labels"] == {"species": "minor"}
    assert first["results"][1]["error"]["detail"]["position"] == 1
    assert ids(server) == before - {"Rubra/rosso/0.png"} | {"batch/1", "batch/3"}
    again = post(server, document).json()
    assert (again["deleted"], again["results"]) == (0, first["results"])
    assert ids(server) == before - {"Rubra/rosso/0.png"} | {"batch/1", "batch/3"}
    found = httpx.post(
        f"{server.url}/search",
        files={"images": ("a.png", encoded(drawn_picture((10, 10, 200), 1)))},
        data={"k": "1", "filter": "year == 2020"},
        trust_env=False,
    ).json()
    assert found["matches"][0]["id"] == "batch/1"
    assert found["matches"][0]["score"] > 0.999


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ([], 400), ({}, 400), ({"items": []}, 400), ({"items": 3}, 400), ({"item": []}, 400), ({"delete": [""]}, 400),
        ({"items": [{"id": "a"}]}, 400), ({"items": [{"id": "a", "image": "AAAA"}]}, 400),
        ({"items": [{"id": "a", "image": "AAAA"}] * 65}, 413),
    ],
)  # fmt: skip
def test_what_is_no_batch_is_refused(server: LiveServer, document: Any, status: int) -> None:
    answer = post(server, document)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_a_body_of_more_values_than_any_needs_is_refused(server: LiveServer) -> None:
    many: list[list[int]] = [[]] * 300_000
    batch = post(server, {"items": [new_item("many", 1, metadata={"many": many})]})
    search = httpx.post(f"{server.url}/search", json={"embedding": many}, trust_env=False)
    for answer in (batch, search):
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
        assert "500,000 values" in answer.json()["error"]["message"]


def test_without_leave_to_write_nothing_is_written(tmp_path: Path, tiny_bundle: Path) -> None:
    with serving(build_served_catalogue(tmp_path, tiny_bundle), tmp_path / "log.txt") as server:
        assert post(server, {"items": [new_item("a", 1)]}).status_code == 403
        assert "a" not in ids(server)
