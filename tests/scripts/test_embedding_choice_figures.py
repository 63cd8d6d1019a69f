"""The table of embeddings, by hand."""

import embedding_choice_figures


def found(train, test):
    return {"train": {"rank_1": train, "mAP": train / 2}, "test": {"rank_1": test, "mAP": test / 2}}


def test_means_over_sets_stand_before_each_set():
    entry = {"feature": "cls+mean", "power": 0.75, "side": 96, "sets": {"a": found(0.9, 0.5), "b": found(0.7, 0.1)}}
    result = {"protocols": {"a": "x", "b": "y"}, "encoder": "nano", "step": 7, "date": "2026-01-01", "entries": [entry]}
    lines = embedding_choice_figures.table(result).splitlines()
    assert lines[2] == "| `cls+mean` | 0.75 | 96 | 80.0 | 40.0 | 30.0 | 15.0 | 50.0 / 25.0 | 10.0 / 5.0 |"
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    assert "one run of 7 steps" in lines[-1]
