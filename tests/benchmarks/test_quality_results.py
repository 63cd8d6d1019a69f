"""The results file: what counts as done, and differences over the seeds that two methods have in common."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import quality
from quality_measure import FIGURES, RETRIEVAL
from quality_methods import bundle_name
from quality_paired import paired_difference
from quality_results import Results

from encoder.bundle import Bundle

ABOUT = {"date": "2026-01-01"}
SIZE = {"lr": 1e-3, "jitter": (0.4, 0.2)}


def outcomes(seed, names=FIGURES, num=40):
    drawn = np.random.default_rng(seed).random((len(names), num))
    return {name: row if name == "mAP" else np.rint(row) for name, row in zip(names, drawn, strict=True)}


def add(results, method, seed, pictures, drawn, names=FIGURES):
    run = {"set": "cars", "method": method, "seed": seed, "pictures": pictures}
    results.accept({method}, pictures, SIZE, "cpu")
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((64, SIZE, "cpu"), "pictures 640, these would be with 64; choose another --out"),
        ((640, {**SIZE, "lr": 2e-3}, "cpu"), "size .*0.001.* these would be with .*0.002.*--out"),
        ((640, SIZE, "cuda"), "device cpu, these would be with cuda; .*--out"),
    ],
)
def test_runs_of_other_settings_are_refused_and_the_file_stays(tmp_path, settings, message):
    path = tmp_path / "quality.json"
    for method, pictures in (("learnt_stem", 0), ("moco_v3", 640)):
        add(Results(path), method, 0, pictures, 1)
    before = path.read_bytes()
    assert json.loads(before)["differences"]
    results = Results(path)
    with pytest.raises(SystemExit, match=message):
        results.accept({"drop", "colour_histogram"}, *settings)
    results.accept({"colour_histogram"}, *settings)  # of these no setting matters
    results.accept({"untrained"}, 64, SIZE, "cpu")
    results.accept({"drop"}, 640, SIZE, "cpu")
    results.add({"set": "cars", "method": "bundle_demo", "seed": 0, "pictures": 0, "bundle": "a"}, outcomes(1), ABOUT)
    kept = json.loads(path.read_text())
    assert {name: kept[name] for name in ("pictures", "size", "device")} == {
        "pictures": 640, "size": {"lr": 1e-3, "jitter": [0.4, 0.2]}, "device": "cpu",
    }  # fmt: skip


def test_a_file_without_trained_runs_takes_the_settings_of_the_command(tmp_path):
    results = Results(tmp_path / "quality.json")
    add(results, "untrained", 0, 0, 1)
    results.accept({"drop"}, 64, {"lr": 1}, "cuda")
    assert {name: results.document[name] for name in ("pictures", "size", "device")} == {
        "pictures": 64, "size": {"lr": 1}, "device": "cuda",
    }  # fmt: skip


def test_a_bundle_takes_the_place_of_every_row_of_the_one_before(tmp_path):
    results = Results(tmp_path / "quality.json")
    run = {"set": "cars", "method": "bundle_demo", "seed": 0, "pictures": 0}
    for name, method, bundle in (
        ("cars", "bundle_demo", "old"),
        ("cars", "bundle_demo_rerank", "old"),
        ("monkeys", "bundle_demo_rerank", "old"),
        ("cars", "bundle_demo", "new"),
    ):
        results.add({**run, "set": name, "method": method, "bundle": bundle}, outcomes(1), ABOUT)
    kept = [(one["set"], one["method"], one["bundle"]) for one in results.document["runs"]]
    assert kept == [("monkeys", "bundle_demo_rerank", "old"), ("cars", "bundle_demo", "new")]


def test_an_old_reranked_row_is_measured_again_though_the_first_is_new(tmp_path, tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    name = bundle_name(bundle)
    args = SimpleNamespace(bundle=tiny_bundle, threads=1)
    results, sets = Results(tmp_path / "quality.json"), [SimpleNamespace(name="cars")]
    run = {"set": "cars", "method": name, "seed": 0, "pictures": 0, "bundle": bundle.manifest.id}
    assert len(list(quality._bundle_runs(args, sets, results))) == 1
    results.add(run, outcomes(1), ABOUT)
    assert list(quality._bundle_runs(args, sets, results)) == []
    results.add({**run, "method": f"{name}_rerank", "bundle": "old"}, outcomes(1, RETRIEVAL), ABOUT)
    assert len(list(quality._bundle_runs(args, sets, results))) == 1
