"""Re-ranking and explanations as a person and a client meet them: `lodisc index local`, `search`, and a real server."""

import base64
import json
import sqlite3
from pathlib import Path

import httpx
import pytest
from live_server import serving
from PIL import Image
from served_catalogue import COLOURS, SPECIMENS, build_served_catalogue, drawn_picture, encoded

from lodisc.cli import main
from lodisc.client import Client

DEMO = Path(__file__).parents[2] / "bundles" / "demo"
PINK = COLOURS["Rubra/pink rose"]
NUM_ITEMS = len(COLOURS) * SPECIMENS


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    return build_served_catalogue(tmp_path_factory.mktemp("local"), DEMO)


@pytest.fixture(scope="module")
def kept(catalogue):
    assert main(["index", "local", str(catalogue), "--quiet"]) == 0
    return catalogue


@pytest.fixture(scope="module")
def http(kept, tmp_path_factory):
    with (
        serving(kept, tmp_path_factory.mktemp("log") / "log.txt", "--allow-writes") as running,
        httpx.Client(base_url=running.url, timeout=60, trust_env=False) as client,
    ):
        yield client


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "asked.png"
    path.write_bytes(encoded(drawn_picture(PINK, 99)))
    return path


def assert_explained(explanation, picture=0):
    pairs = explanation["pairs"]
    assert 0 < sum(pair["share"] for pair in pairs) <= 1
    for pair in pairs:
        assert pair["query"]["picture"] == picture
        for side in (pair["query"], pair["item"]):
            left, top, right, bottom = side["box"]
            assert 0.1 < left < right < 0.9  # of 80 x 60 pixels the encoder sees the middle 60 x 60
            assert 0 <= top < bottom <= 1
    for name in ("query_attention", "item_attention"):
        assert len(explanation[name]["scores"]) == 36
        assert explanation[name]["box"] == [0.125, 0.0, 0.875, 1.0]


def test_index_local_says_what_it_did_and_stats_repeats_it(kept, capsys):
    assert main(["index", "local", str(kept), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["items"], told["with_features"], told["made"]) == (NUM_ITEMS, NUM_ITEMS, 0)
    assert told["rerank"]["rank"] == "species"
    assert main(["index", "stats", str(kept)]) == 0
    assert f"pivotal patches of {NUM_ITEMS} of {NUM_ITEMS} items" in capsys.readouterr().out
    assert main(["index", "stats", str(kept), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["local"]["rerank"] == told["rerank"]


def test_search_draws_why(kept, picture, tmp_path, capsys):
    assert main(["search", str(kept), str(picture), "--explain", str(tmp_path / "why.png")]) == 0
    assert "5 matches explained" in capsys.readouterr().err
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.width > 600
    assert main(["search", str(kept), str(picture), "--explain", str(tmp_path / "why.html"), "--rerank", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["reranked"] is True
    scores = [match["score"] for match in document["matches"]]
    assert scores == sorted(scores, reverse=True)
    assert_explained(document["matches"][0]["explanation"])
    page = (tmp_path / "why.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "http" not in page


@pytest.mark.parametrize("name", ["why.gif", "no-folder/why.png"])
def test_an_explanation_that_cannot_be_written_is_told_first(kept, picture, name, tmp_path, capsys):
    assert main(["search", str(kept), str(picture), "--explain", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_catalogue_without_patches_says_which_command_makes_them(tmp_path, tiny_bundle, picture, capsys):
    bare = build_served_catalogue(tmp_path / "bare", DEMO)
    assert main(["search", str(bare), str(picture), "--rerank"]) == 2
    assert "lodisc index local CATALOGUE" in capsys.readouterr().err
    tiny = build_served_catalogue(tmp_path / "tiny", tiny_bundle)
    assert main(["index", "local", str(tiny)]) == 2
    assert "gives no patch features" in capsys.readouterr().err


def test_the_contract_in_json_and_as_a_form(http, picture):
    data = picture.read_bytes()
    asked = {"rerank": True, "explain": True, "k": 7}
    form = {"rerank": "true", "explain": "true", "k": "7"}
    answers = [
        http.post("/search", json={"images": [base64.b64encode(data).decode()], **asked}),
        http.post("/search", files=[("images", ("a.png", data))], data=form),
    ]
    documents = [answer.json() for answer in answers]
    assert [answer.status_code for answer in answers] == [200, 200]
    for document in documents:
        assert document["reranked"] is True
        assert len(document["matches"]) == 7
        assert ["explanation" in match for match in document["matches"]] == [True] * 5 + [False] * 2
        for match in document["matches"]:
            assert {"score", "global_score", "local_score"} <= match.keys()
        for match in document["matches"][:5]:
            assert_explained(match["explanation"])
    assert documents[0]["matches"] == documents[1]["matches"]
    plain = http.post("/search", files=[("images", ("a.png", data))], data={"rerank": "false"}).json()
    assert plain["reranked"] is False
    assert not {"global_score", "local_score", "explanation"} & plain["matches"][0].keys()
    best = {match["id"]: match["score"] for match in plain["matches"]}
    moved = {match["id"]: match["global_score"] for match in documents[0]["matches"] if match["id"] in best}
    assert moved == pytest.approx({item_id: best[item_id] for item_id in moved}, abs=1e-5)


def test_of_several_photographs_the_one_that_explains_is_named(http):
    lime = encoded(drawn_picture(COLOURS["Viridis/lime"], 5))
    pictures = [("images", ("broken.png", b"nothing")), ("images", ("a.png", lime))]
    document = http.post("/search", files=pictures, data={"explain": "1"}).json()
    assert document["errors"][0]["position"] == 0
    assert_explained(document["matches"][0]["explanation"], picture=1)


def test_the_command_line_answers_for_several_photographs_as_the_server_does(http, kept, tmp_path, capsys):
    pictures = [encoded(drawn_picture(PINK, 98)), b"nothing", encoded(drawn_picture(COLOURS["Viridis/lime"], 5))]
    pictures.append(encoded(drawn_picture(PINK, 99)))
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, data in zip(paths, pictures, strict=True):
        path.write_bytes(data)
    words = [*map(str, paths), "--together"]
    asked = {"rerank": "true", "explain": "true"}
    flags = ["--rerank", "--explain", str(tmp_path / "why.png"), "--json"]
    files = [("images", ("a.png", data)) for data in pictures]
    answered = http.post("/search", files=files, data=asked).json()
    weights = [one["weight"] for one in answered["query"]]
    assert weights[1] < min(weights[0], weights[2])  # the odd one
    printed = []
    for where in ([str(kept)], ["--server", str(http.base_url)]):
        (tmp_path / "why.png").unlink(missing_ok=True)
        assert main(["search", *where, *words, *flags]) == 0
        printed.append(json.loads(capsys.readouterr().out))
        assert (tmp_path / "why.png").is_file()
    for document in printed:
        assert document.keys() == answered.keys()
        assert document["errors"] == answered["errors"]
        assert [error["position"] for error in document["errors"]] == [1]
        assert [one["position"] for one in document["query"]] == [0, 2, 3]
        assert [one["weight"] for one in document["query"]] == pytest.approx(weights, abs=1e-3)
        assert all(one["attention"] is not None for one in document["query"])
        assert [one["id"] for one in document["matches"]] == [one["id"] for one in answered["matches"]]
        assert document["prediction"]["label"] == answered["prediction"]["label"]
        assert document["reranked"]
        explained = document["matches"][0]["explanation"]
        assert_explained(explained, picture=explained["pairs"][0]["query"]["picture"])
    assert main(["search", str(kept), *words]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"4 photographs: {answered['prediction']['label']} (species)")
    assert f"counted: {paths[0]} {weights[0]:.0%}, {paths[2]} {weights[1]:.0%}" in told
    assert f"left out: {paths[1]} (" in told


def test_several_pictures_are_not_taken_for_one_thing_unasked(kept, picture, tmp_path, capsys):
    for where in ([str(kept)], ["--server", "http://127.0.0.1:9"]):
        assert main(["search", *where, str(picture), str(picture)]) == 2
        assert "there are 2 pictures; say --together" in capsys.readouterr().err
    (tmp_path / "broken.png").write_bytes(b"nothing")
    assert main(["search", str(kept), *[str(tmp_path / "broken.png")] * 2, "--together"]) == 2
    assert capsys.readouterr().err.count("broken.png: not a picture") == 2
    assert main(["search", "--server", "http://127.0.0.1:9", str(kept), str(picture), "--together"]) == 2
    assert "leave out CATALOGUE" in capsys.readouterr().err


def test_an_item_can_be_asked_with_and_an_embedding_cannot(http):
    document = http.post("/search", json={"item_id": "Rubra/rosso/0.png", "rerank": True, "explain": True}).json()
    assert document["reranked"] is True
    assert_explained(document["matches"][0]["explanation"])
    dim = http.get("/stats").json()["model"]["dim"]
    for asked in ({"rerank": True}, {"explain": True}):
        refused = http.post("/search", json={"embedding": [1.0] * dim, **asked})
        assert refused.status_code == 400
        assert "an embedding has no patches" in refused.json()["error"]["message"]
    assert http.post("/search", json={"embedding": [1.0] * dim}).status_code == 200


def test_what_is_put_over_http_has_patches_at_once(http):
    data = encoded(drawn_picture((20, 30, 200), 1234))
    assert http.put("/items/mine/1", files={"image": ("a.png", data)}).status_code == 200
    batch = {"items": [{"id": "mine/2", "image": base64.b64encode(encoded(drawn_picture((20, 60, 200), 5))).decode()}]}
    assert http.post("/items", json=batch).status_code == 200
    asked = {"images": [base64.b64encode(data).decode()], "rerank": True, "explain": True}
    matches = http.post("/search", json=asked).json()["matches"]
    assert matches[0]["id"] == "mine/1"
    assert matches[0]["local_score"] == pytest.approx(1, abs=0.01)
    assert matches[0]["explanation"] is not None
    assert {match["id"]: match["local_score"] for match in matches}["mine/2"] is not None
    for item_id in ("mine/1", "mine/2"):
        assert http.delete(f"/items/{item_id}").status_code == 204


def test_the_client_has_them_as_values(http, picture):
    with Client(str(http.base_url)) as client:
        answer = client.search(picture, rerank=True, explain=True)
        assert answer.reranked
        assert answer.matches[0].global_score is not None
        assert_explained(answer.matches[0].explanation)
        plain = client.search(picture, rerank=False)
        assert (plain.reranked, plain.matches[0].local_score, plain.matches[0].explanation) == (False, None, None)


def test_verify_looks_at_them_and_repair_drops_what_is_damaged(tmp_path, capsys):
    path = build_served_catalogue(tmp_path / "verified", DEMO)
    assert main(["index", "local", str(path), "--quiet"]) == 0
    connection = sqlite3.connect(path / "catalogue.sqlite")
    connection.execute("UPDATE local SET features = substr(features, 1, 40) WHERE row = 1")
    connection.execute("INSERT INTO local SELECT 9999, features FROM local WHERE row = 2")
    connection.commit()
    connection.close()
    capsys.readouterr()
    assert main(["index", "verify", str(path), "--no-pictures"]) == 1
    told = capsys.readouterr().out
    assert "that of row 9999 belongs to none" in told
    assert "that of row 1 is damaged" in told
    assert main(["index", "verify", str(path), "--no-pictures", "--repair"]) == 0
    capsys.readouterr()
    assert main(["index", "local", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["made"] == 1
