"""The README's answers: which encoder each set was measured with, and sets that lack a part."""

import json

import answer_figures
import pytest


@pytest.fixture
def result(tmp_path, monkeypatch):
    figures = {
        "vote": {"value": 0.5, "low": 0.4, "high": 0.6}, "first": 0.45, "ece_before": 0.1, "ece": 0.05,
        "ece_by_chance": 0.04, "coverage": 0.3, "accuracy_of_sure": 0.9,
    }  # fmt: skip
    asked = {"on new pictures": {"species": figures, "the finest sure rank": {"coverage": 0.3}}}
    vote = {"leave one out": asked, "half of the test pictures": asked}
    unknown = {"auroc": 0.7, "false_acceptance": 0.05, "known_rejected": 0.6}
    gain = {"cosine": 0.4, "reranked": 0.45, "gain": 0.05, "low": 0.01, "high": 0.09}
    rerank = {"rank_1": gain, "mAP": gain, "ms_for_100": 1.5}
    common = {"vote": vote, "unknown": unknown}
    sets = {
        "demo": {"bundle": "1", "bundle_name": "demo", "date": "2026-01-01", **common},
        "birds": {"bundle": "2", "bundle_name": "default", "date": "2026-01-02", **common, "rerank": rerank},
        "bees": {"bundle": "2", "bundle_name": "default", "date": "2026-01-03", **common, "rerank": {}},
    }
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({"sets": sets}))
    monkeypatch.setattr(answer_figures, "RESULT", path)


def test_each_row_has_its_cells_and_the_encoders_stand_below(result):
    lines = answer_figures.answers().splitlines()
    assert lines[2] == (
        "| demo, species | 45.0% | 50.0% (40.0%-60.0%) | 0.100 | 0.050 | 0.040 | 30% | 90% | 0.70 | 5% | 60% |"
    )
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    assert len(lines) == 9  # the rank that is all ranks together has no row
    assert lines[-1].endswith(
        "is: demo 0.050 (of perfect ones 0.040), birds 0.050 (of perfect ones 0.040), bees 0.050 "
        "(of perfect ones 0.040)."
    )
    assert lines[-3] == "demo: bundles/demo; birds, bees: bundles/default. 2026-01-03."


def test_sets_without_a_part_have_no_row(result):
    lines = answer_figures.rerank().splitlines()
    assert lines[2:] == [
        "| birds | 0.400 → 0.450 | +0.050 (+0.010 to +0.090) | 0.400 → 0.450 | +0.050 (+0.010 to +0.090) | 1.5 |"
    ]
