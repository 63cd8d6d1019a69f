"""The answer of a really started server over a calibrated catalogue, as the contract has it."""

import base64

import httpx
import numpy as np
import pytest
from labelled_catalogue import drawn_pictures, fill
from live_server import serving

from index.answers.calibrate import calibrate_catalogue
from index.answers.calibration import CALIBRATION_NAME, write_calibration
from index.sqlite_catalogue import SqliteCatalogue
from lodisc.client import Client

PREDICTION = {
    "label", "rank", "confidence", "sure", "floor", "calibrated", "unknown", "unknown_score", "ranks", "help",
}  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory, tiny_bundle):
    vectors, labels = drawn_pictures(300, noise=0.9)
    return fill(tmp_path_factory.mktemp("answers") / "catalogue", tiny_bundle, vectors, labels)


@pytest.fixture(scope="module")
def http(path):
    with serving(path, path.parent / "server.log") as server, httpx.Client(base_url=server.url) as client:
        yield client


def asked(http, vector, **options):
    answer = http.post("/search", json={"embedding": base64.b64encode(vector.tobytes()).decode(), **options})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_calibration_is_taken_up_without_a_restart_and_answers_by_the_contract(http, path):
    vectors, truth = drawn_pictures(60, seed=1, noise=0.9)
    before = asked(http, vectors[0], k=3)
    assert set(before["prediction"]) == PREDICTION
    assert (before["prediction"]["calibrated"], before["prediction"]["sure"]) == (False, False)
    assert [rank["calibrated"] for rank in before["prediction"]["ranks"]] == [False, False]
    assert (before["prediction"]["unknown"], before["prediction"]["unknown_score"]) == (None, None)
    with SqliteCatalogue.open(path) as catalogue:
        write_calibration(path, calibrate_catalogue(catalogue, sample=0, false_acceptance=0.05, quiet=True))
    right, kinds = [], set()
    for vector, labels in zip(vectors, truth, strict=True):
        document = asked(http, vector, k=1)
        prediction = document["prediction"]
        assert len(document["matches"]) == 1
        assert (document["query"], document["reranked"]) == ([], False)
        assert set(prediction) == PREDICTION
        assert prediction["calibrated"]
        assert 0 <= prediction["unknown_score"] <= 1
        assert [rank["rank"] for rank in prediction["ranks"]] == ["species", "genus"]
        for rank in prediction["ranks"]:
            assert rank["calibrated"]
            confidences = [one["confidence"] for one in rank["labels"]]
            assert 1 <= len(confidences) <= 5
            assert confidences == sorted(confidences, reverse=True)
        assert prediction["sure"] == (prediction["confidence"] >= 0.7 and not prediction["unknown"])
        if prediction["help"] is not None:
            kinds.add(prediction["help"]["kind"])
            assert set(prediction["help"]) == {"kind", "rank", "labels", "items", "text"}
            assert set(prediction["help"]["items"]) == set(prediction["help"]["labels"])
        else:
            assert prediction["sure"]
        if prediction["sure"]:
            right.append(prediction["label"] == labels[prediction["rank"]])
    assert len(right) >= 10
    assert np.mean(right) >= 0.7
    assert kinds
    # The vote does not depend on how many matches are wanted.
    many = asked(http, vectors[0], k=40)["prediction"]
    assert many == asked(http, vectors[0], k=1)["prediction"]
    stranger = np.random.default_rng(5).normal(size=vectors.shape[1]).astype(np.float32)
    far = asked(http, -vectors.mean(axis=0) + 0.01 * stranger)["prediction"]
    assert (far["unknown"], far["sure"], far["help"]["kind"]) == (True, False, "unknown")
    metrics = http.get("/metrics").text
    for verdict in ("uncalibrated", "known", "unknown"):
        assert f'lodisc_answers_total{{verdict="{verdict}"}}' in metrics
    assert "lodisc_pictures_waiting 0.0" in metrics
    (path / CALIBRATION_NAME).unlink()
    assert not asked(http, vectors[0])["prediction"]["calibrated"]


def test_the_client_reads_it(http, path):
    with SqliteCatalogue.open(path) as catalogue:
        write_calibration(path, calibrate_catalogue(catalogue, sample=0, quiet=True))
    with Client(str(http.base_url)) as client:
        answer = client.search(item_id="i0", k=2)
    prediction = answer.prediction
    assert prediction.calibrated
    assert [(rank.rank, rank.calibrated) for rank in prediction.ranks] == [("species", True), ("genus", True)]
    assert prediction.ranks[0].labels[0].confidence <= prediction.ranks[1].labels[0].confidence
    assert answer.query == ()
    filtered = asked(http, drawn_pictures(1)[0][0], filter='id == "i7"')
    assert not filtered["prediction"]["sure"]  # one item is not the whole truth
    assert asked(http, drawn_pictures(1)[0][0], filter='genus == "nothing"')["prediction"]["label"] is None
