"""The contract of the service, asked of a really started server."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from live_server import LiveServer, serving
from served_catalogue import COLOURS, SPECIMENS, build_served_catalogue, drawn_picture, encoded

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from service.web_pages import FILES

PROJECT = Path(__file__).parents[2]
PINK = COLOURS["Rubra/pink rose"]
PINK_ID = "Rubra/pink rose/1.png"
NUM_ITEMS = len(COLOURS) * SPECIMENS


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    return build_served_catalogue(tmp_path_factory.mktemp("served"), tiny_bundle)


@pytest.fixture(scope="module")
def server(catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serving(catalogue, tmp_path_factory.mktemp("log") / "log.txt", "--allow-writes") as running:
        yield running


@pytest.fixture(scope="module")
def http(server: LiveServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client


def a_picture(seed: int = 99) -> bytes:
    return encoded(drawn_picture(PINK, seed))


def files(*pictures: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{row}.png", data)) for row, data in enumerate(pictures)]


def test_embed_gives_what_the_encoder_gives(http: httpx.Client, tiny_bundle: Path) -> None:
    encoder = ImageEncoder(Bundle.open(tiny_bundle))
    pictures = [a_picture(seed) for seed in range(3)]
    expected = [one.embedding_BD[0] for one in encoder.encode_pictures(pictures)]  # type: ignore[union-attr]
    answers = (
        http.post("/embed", files=files(*pictures)),
        http.post("/embed", json={"images": [base64.b64encode(data).decode() for data in pictures]}),
    )
    for answer in answers:
        assert answer.status_code == 200
        document = answer.json()
        assert document["model"] == {"id": encoder.manifest.id, "dim": encoder.dim}
        found = [result["embedding"] for result in document["results"]]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_embed_as_base64_with_attention(http: httpx.Client) -> None:
    plain = http.post("/embed", files=files(a_picture())).json()["results"][0]
    result = http.post("/embed?encoding=base64&attention=true", files=files(a_picture())).json()["results"][0]
    embedding = np.frombuffer(base64.b64decode(result["embedding"]), "<f4")
    np.testing.assert_array_equal(embedding, np.array(plain["embedding"], np.float32))
    assert "attention" not in plain
    rows, columns = result["attention"]["grid"]
    assert len(result["attention"]["scores"]) == rows * columns
    assert sum(result["attention"]["scores"]) == pytest.approx(1, abs=1e-4)
    left, top, right, bottom = result["attention"]["box"]
    assert 0 <= left < right <= 1
    assert 0 <= top < bottom <= 1


def test_search_by_picture_embedding_and_item_agree(http: httpx.Client) -> None:
    by_item = http.post("/search", json={"item_id": PINK_ID, "k": 3})
    assert by_item.status_code == 200
    matches = by_item.json()["matches"]
    assert PINK_ID not in [match["id"] for match in matches]
    assert len(matches) == 3
    assert matches[0]["labels"] == {"species": "pink rose", "genus": "Rubra"}
    by_picture = http.post("/search", files=files(a_picture()), data={"k": "3"}).json()
    embedding = http.post("/embed", files=files(a_picture())).json()["results"][0]["embedding"]
    by_embedding = http.post("/search", json={"embedding": [7 * x for x in embedding], "k": 3}).json()
    in_base64 = base64.b64encode(np.array(embedding, "<f4").tobytes()).decode()
    by_base64 = http.post("/search?k=3", json={"embedding": in_base64}).json()
    for other in (by_embedding, by_base64):
        assert [match["id"] for match in other["matches"]] == [match["id"] for match in by_picture["matches"]]
    prediction = by_picture["prediction"]
    assert (prediction["label"], prediction["rank"]) == ("pink rose", "species")
    assert 0 < prediction["confidence"] <= 1
    assert prediction["unknown"] is None


def test_the_time_of_each_stage_is_told(http: httpx.Client) -> None:
    never_asked = encoded(drawn_picture((230, 120, 140), 4711))
    first, again = (http.post("/search", files=files(never_asked)).json()["timing_ms"] for _ in range(2))
    assert set(first) == {"read", "decode", "queue", "encode", "search", "total"}
    assert set(again) == {"read", "search", "total"}  # from the cache


def test_an_indexed_picture_finds_itself_first(http: httpx.Client, catalogue: Path) -> None:
    data = (catalogue.parent / "photos" / PINK_ID).read_bytes()
    first = http.post("/search", files=files(data)).json()["matches"][0]
    assert first["id"] == PINK_ID
    assert first["score"] == pytest.approx(1, abs=2e-3)  # the catalogue may store half precision
    thumbnail = http.get(first["thumbnail"])
    assert thumbnail.status_code == 200
    assert thumbnail.headers["content-type"].startswith("image/")


def test_the_command_line_prints_what_search_answers(http: httpx.Client, catalogue: Path) -> None:
    path = catalogue.parent / "photos" / PINK_ID
    command = [sys.executable, "-m", "lodisc", "search", str(catalogue), str(path), "-k", "4", "--json"]
    printed = json.loads(subprocess.run(command, cwd=PROJECT, check=True, capture_output=True).stdout)
    answered = http.post("/search", files=files(path.read_bytes()), data={"k": "4"}).json()
    for document in (printed, answered):
        del document["timing_ms"]
        for match in document["matches"]:
            match["score"] = round(match["score"], 4)
        document["prediction"]["confidence"] = round(document["prediction"]["confidence"], 4)
    assert printed == answered


def test_several_pictures_are_one_thing(http: httpx.Client) -> None:
    pictures = [a_picture(1), a_picture(2)]
    embeddings = [row["embedding"] for row in http.post("/embed", files=files(*pictures)).json()["results"]]
    mean = np.mean(embeddings, axis=0).tolist()
    fused = http.post("/search", files=files(*pictures)).json()
    by_mean = http.post("/search", json={"embedding": mean}).json()
    assert [match["id"] for match in fused["matches"]] == [match["id"] for match in by_mean["matches"]]
    assert "errors" not in fused


def test_a_picture_fails_alone(http: httpx.Client) -> None:
    truncated = a_picture()[:200]
    embedded = http.post("/embed", files=files(truncated, a_picture(), b"not a picture"))
    assert embedded.status_code == 200
    first, second, third = embedded.json()["results"]
    assert first["error"]["code"] == "undecodable_picture"
    assert first["error"]["detail"]["position"] == 0
    assert "embedding" in second
    assert third["error"]["detail"]["position"] == 2
    found = http.post("/search", files=files(truncated, a_picture()))
    assert found.status_code == 200
    assert [error["position"] for error in found.json()["errors"]] == [0]
    alone = http.post("/search", files=files(a_picture()))
    assert found.json()["matches"] == alone.json()["matches"]


@pytest.mark.parametrize("route", ["/embed", "/search"])
def test_no_good_picture_is_422_and_names_each(http: httpx.Client, route: str) -> None:
    answer = http.post(route, files=files(b"junk", a_picture()[:300]))
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["detail"]["position"] == 0
    assert [one["position"] for one in error["detail"]["pictures"]] == [0, 1]
    single = http.post(route, files=files(a_picture()[:300])).json()["error"]
    assert single["code"] == "undecodable_picture"
    assert "picture 0" in single["message"]


def test_items_page_through_all(http: httpx.Client) -> None:
    seen: list[str] = []
    cursor = None
    for _ in range(NUM_ITEMS + 2):
        page = http.get("/items", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == NUM_ITEMS
    assert http.get("/items?limit=0").status_code == 400
    assert http.get("/items?cursor=nonsense%00").status_code == 400


def test_a_filter_says_among_which_items_to_search(http: httpx.Client) -> None:
    wanted = 'genus == "Rubra" and species != "rosso"'
    asks = (
        http.post("/search", files=files(a_picture()), data={"k": "100", "filter": wanted}),
        http.post("/search", files=files(a_picture()), params={"k": 100, "filter": wanted}),
        http.post("/search", json={"images": [base64.b64encode(a_picture()).decode()], "k": 100, "filter": wanted}),
    )
    everything = http.post("/search", files=files(a_picture()), data={"k": "100"})
    expected = [one for one in everything.json()["matches"] if one["labels"]["species"] == "pink rose"]
    assert len(expected) == SPECIMENS
    for answer in asks:
        assert answer.status_code == 200, answer.text
        assert answer.json()["matches"] == expected
        assert answer.json()["prediction"]["label"] == "pink rose"
        assert answer.json()["prediction"]["confidence"] == pytest.approx(1)
    from_item = http.post("/search", json={"item_id": PINK_ID, "k": 100, "filter": wanted}).json()["matches"]
    assert {one["id"] for one in from_item} == {one["id"] for one in expected} - {PINK_ID}
    nothing = http.post("/search", json={"item_id": PINK_ID, "filter": "id == 'none'"}).json()
    assert (nothing["matches"], nothing["prediction"]["label"]) == ([], None)
    assert http.post("/search", json={"item_id": PINK_ID, "filter": None, "k": 2}).status_code == 200


def test_items_that_a_filter_lets_through_page_by_page(http: httpx.Client) -> None:
    seen: list[str] = []
    options: dict[str, str | int] = {"filter": "genus in ('Rubra', \"Caerula\")", "limit": 5}
    while True:
        page = http.get("/items", params=options).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        options["cursor"] = page["next_cursor"]
    names = [name for name in COLOURS if name.startswith(("Rubra", "Caerula"))]
    assert seen == sorted(f"{name}/{specimen}.png" for name in names for specimen in range(SPECIMENS))
    assert http.get("/items", params={"filter": "id == 'none'"}).json() == {"items": [], "next_cursor": None}


def test_what_is_put_is_filtered_at_once_and_its_ranks_are_in_order(http: httpx.Client) -> None:
    form = {"labels": json.dumps({"genus": "Nova", "species": "nova"}), "metadata": json.dumps({"year": 1999.5})}
    picture = encoded(drawn_picture((10, 10, 200), 5))
    wanted = {"filter": "year > 1999 and genus == 'Nova'"}
    put = http.put("/items/nova.png", files={"image": ("x.png", picture)}, data=form)
    assert put.status_code == 200, put.text
    found = http.post("/search", files=files(a_picture()), data=wanted).json()
    assert [list(one["labels"].items()) for one in found["matches"]] == [[("species", "nova"), ("genus", "Nova")]]
    assert (found["prediction"]["label"], found["prediction"]["rank"]) == ("nova", "species")
    assert [item["id"] for item in http.get("/items", params=wanted).json()["items"]] == ["nova.png"]
    assert list(http.get("/items/nova.png").json()["labels"]) == ["species", "genus"]
    stats = http.get("/stats").json()["catalogue"]
    assert (stats["ranks"], list(stats["labels"])) == (["species", "genus"], ["species", "genus"])
    assert http.delete("/items/nova.png").status_code == 204
    assert http.post("/search", files=files(a_picture()), data=wanted).json()["error"]["code"] == "invalid_filter"


def test_one_item_with_anything_in_its_id(http: httpx.Client) -> None:
    weird = "Caerula/sky?#%/0.png"
    match = next(
        one for one in http.post("/search", json={"item_id": PINK_ID, "k": 100}).json()["matches"] if one["id"] == weird
    )
    path = match["thumbnail"].removesuffix("/thumbnail")
    item = http.get(path)
    assert item.status_code == 200
    assert item.json()["id"] == weird
    assert item.json()["labels"] == {"species": "sky?#%", "genus": "Caerula"}
    assert item.json()["thumbnail"] == match["thumbnail"]
    missing = http.get("/items/no/such.png")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "not_found"


def test_thumbnails_are_kept_by_the_client(http: httpx.Client) -> None:
    path = f"/items/{PINK_ID}/thumbnail"
    first = http.get(path)
    etag = first.headers["etag"]
    for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = http.get(path, headers={"If-None-Match": condition})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == etag
    assert http.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    head = http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == first.headers["content-length"]
    assert http.get("/items/no/such.png/thumbnail").status_code == 404


def test_put_is_idempotent_and_delete_deletes(http: httpx.Client) -> None:
    new_id = "Nova/new one/ä.png"
    before = http.get("/stats").json()["catalogue"]["items"]
    form = {"labels": json.dumps({"species": "nova"}), "metadata": json.dumps({"year": 2026})}
    picture = encoded(drawn_picture((10, 10, 200), 5))
    for _ in range(2):
        answer = http.put(f"/items/{new_id}", files={"image": ("x.png", picture)}, data=form)
        assert answer.status_code == 200, answer.text
        assert answer.json()["labels"] == {"species": "nova"}
        assert answer.json()["metadata"] == {"year": 2026}
    assert http.get("/stats").json()["catalogue"]["items"] == before + 1
    assert http.post("/search", files=files(picture)).json()["matches"][0]["id"] == new_id
    assert http.delete(f"/items/{new_id}").status_code == 204
    assert http.delete(f"/items/{new_id}").status_code == 404
    assert http.get("/stats").json()["catalogue"]["items"] == before
    assert http.post("/search", files=files(picture)).json()["matches"][0]["id"] != new_id


def test_the_labels_of_a_rank_by_prefix(http: httpx.Client) -> None:
    def labels(**asked: str) -> httpx.Response:
        return http.get("/labels", params=asked)

    genera = labels(rank="genus", limit="2").json()
    assert (genera["rank"], [one["label"] for one in genera["labels"]], genera["total"]) == (
        "genus", ["Rubra", "Caerula"], 3,
    )  # fmt: skip
    assert labels(rank="species", prefix="PINK").json()["labels"][0]["label"] == "pink rose"
    assert labels(rank="species", prefix="ink").json() == {"rank": "species", "labels": [], "total": 0}
    before = genera["labels"][0]["items"]
    http.put("/items/one%20more", files={"image": a_picture()}, data={"labels": '{"genus": "Rubra"}'})
    assert labels(rank="genus").json()["labels"][0]["items"] == before + 1
    http.delete("/items/one%20more")
    assert labels(rank="genus").json()["labels"][0]["items"] == before
    refused = labels(rank="genos")
    assert (refused.status_code, refused.json()["error"]["detail"]) == (400, {"ranks": ["species", "genus"]})
    for asked in ({}, {"rank": "genus", "limit": "0"}, {"rank": "genus", "sort": "name"}):
        assert labels(**asked).status_code == 400


def test_stats_and_probes(http: httpx.Client, tiny_bundle: Path) -> None:
    manifest = Bundle.open(tiny_bundle).manifest
    stats = http.get("/stats").json()
    assert stats["catalogue"]["items"] == NUM_ITEMS
    assert stats["may_write"] is True
    assert (stats["model"]["id"], stats["model"]["dim"]) == (manifest.id, manifest.embedding_dim)
    assert stats["note"].startswith(f"This encoder knows {manifest.domain}; ")  # these pictures are of something else
    assert http.get("/livez").status_code == http.get("/readyz").status_code == 200


def test_metrics_count_by_route_and_never_by_raw_path(http: httpx.Client) -> None:
    for row in range(5):
        http.get(f"/no/such/path/{row}")
        http.get(f"/items/{row}")
    text = http.get("/metrics").text
    assert 'lodisc_requests_total{method="GET",route="/items/{id:path}",status="404"}' in text
    assert 'route="unmatched"' in text
    assert "/no/such/path" not in text
    for name in (
        "lodisc_stage_seconds_bucket",
        "lodisc_batch_pictures_bucket",
        "lodisc_best_similarity_bucket",
    ):
        assert name in text


def test_docs_and_page_load_nothing_from_elsewhere(http: httpx.Client) -> None:
    for path in ("/", "/docs", *(f"/page/{name}" for name in FILES)):
        answer = http.get(path)
        assert answer.status_code == 200
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in answer.text
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert http.get("/page/../settings.py").status_code == 404
    assert http.get("/page/%2e%2e%2fsettings.py").status_code == 404


def test_the_description_lists_every_route_and_its_examples_work(http: httpx.Client) -> None:
    api = http.get("/openapi.json").json()
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for example in body.get("examples", {}).values():
                sent = example["value"]
                if "item_id" in sent:
                    sent = {**sent, "item_id": PINK_ID}
                answer = http.request(method, path, json=sent)
                assert answer.status_code == 200, answer.text
                documented = operation["responses"]["200"]["content"]["application/json"]["example"]
                assert set(documented) == set(answer.json())


def test_request_ids_and_log_lines(server: LiveServer, http: httpx.Client) -> None:
    assert http.get("/livez", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    forged = http.get("/items/%0Aforged line", headers={"X-Request-ID": "a b"})
    assert forged.headers["x-request-id"] != "a b"
    deadline = time.monotonic() + 10  # the line is written after the answer was sent
    while r"/items/\nforged line 404" not in server.log():
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.05)
    assert "\nforged line" not in server.log()


def test_sigterm_ends_it_within_seconds_with_exit_code_0(catalogue: Path, tmp_path: Path) -> None:
    with serving(catalogue, tmp_path / "log.txt") as running:
        with httpx.Client(base_url=running.url, trust_env=False) as client:
            assert client.post("/search", files=files(a_picture())).status_code == 200
            refused = client.delete(f"/items/{PINK_ID}")
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "writes_off")
        assert running.stop() == 0
    assert "Traceback" not in running.log()
