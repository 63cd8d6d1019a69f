"""The results file: what counts as done, and differences over the seeds that two methods have in common."""

import json

import numpy as np
import pytest
from quality_measure import FIGURES, RETRIEVAL
from quality_paired import paired_difference
from quality_results import Results

ABOUT = {"device": "cpu", "date": "2026-01-01", "size": {}}


def outcomes(seed, names=FIGURES, num=40):
    drawn = np.random.default_rng(seed).random((len(names), num))
    return {name: row if name == "mAP" else np.rint(row) for name, row in zip(names, drawn, strict=True)}


def add(results, method, seed, pictures, drawn, names=FIGURES):
    run = {"set": "cars", "method": method, "seed": seed, "pictures": pictures}
    return results.add(run, outcomes(drawn, names), ABOUT)


def test_a_run_is_found_again_by_its_key_alone(tmp_path):
    results = Results(tmp_path / "quality.json")
    add(results, "moco_v3", 0, 640, 1)
    again = Results(tmp_path / "quality.json")
    assert again.find("cars", "moco_v3", 0, 640)["figures"].keys() == set(FIGURES)
    for key in (("cars", "moco_v3", 1, 640), ("cars", "moco_v3", 0, 1280), ("monkeys", "moco_v3", 0, 640)):
        assert again.find(*key) is None


def test_a_run_without_all_figures_is_done_again_and_replaced(tmp_path):
    path = tmp_path / "quality.json"
    old = {"set": "cars", "method": "zero", "seed": 0, "pictures": 640, "figures": {"rank_1": {"value": 0.5}}}
    path.write_text(json.dumps({"protocols": {}, "pictures": 640, "runs": [old], "differences": []}))
    results = Results(path)
    assert results.find("cars", "zero", 0, 640) is None
    add(results, "zero", 0, 640, 1)
    assert [run["figures"].keys() == set(FIGURES) for run in results.document["runs"]] == [True]


def test_reranking_is_done_with_its_three_figures(tmp_path):
    results = Results(tmp_path / "quality.json")
    add(results, "drop_rerank", 0, 640, 1, RETRIEVAL)
    assert results.find("cars", "drop_rerank", 0, 640) is not None


def test_differences_are_over_the_seeds_in_common_and_of_as_many_pictures(tmp_path):
    results = Results(tmp_path / "quality.json")
    for seed in range(3):
        add(results, "learnt_stem", seed, 0, 10 + seed)
    for seed in range(2):
        add(results, "moco_v3", seed, 640, 20 + seed)
    (found,) = Results(tmp_path / "quality.json").document["differences"]
    assert (found["first"], found["second"], found["seeds"]) == ("moco_v3", "learnt_stem", [0, 1])
    assert list(found["figures"]) == list(FIGURES)
    first, second = ([outcomes(start + seed)["mAP"] for seed in range(2)] for start in (20, 10))
    expected = paired_difference(np.array(first), np.array(second))
    told = found["figures"]["mAP"]
    # Outcomes are kept in 16 bits.
    assert (told["value"], told["low"], told["high"]) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=2e-5
    )
    run = {"set": "monkeys", "method": "drop", "seed": 0, "pictures": 1280}
    results.add(run, outcomes(30), ABOUT)
    assert results.document["differences"] == []  # nothing else has seen 1,280 pictures, on no set
