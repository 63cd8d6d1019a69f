"""What the benchmark of the methods looks at before it begins."""

import sys

import pytest
import quality
from pictures import write_picture_folder

SMALL = {**quality.SIZE, "batch_size": 12}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The program on two sets, of which the second has fewer training pictures than a batch; without the runs."""
    for name, per_label in (("fields", 4), ("shelves", 3)):
        for split in ("train", "test"):
            write_picture_folder(tmp_path / "data" / name / split, per_label=per_label)
    monkeypatch.setattr("quality.SIZE", SMALL)
    monkeypatch.setattr("quality_methods.SIZE", SMALL)
    asked = []
    monkeypatch.setattr(quality, "_missing", lambda args, sets, *_: asked.append([each.name for each in sets]) or [])

    def call(*words):
        command = [
            "quality.py",
            str(tmp_path / "data"),
            "--sets",
            "fields",
            "shelves",
            "--out",
            str(tmp_path / "r.json"),
        ]
        monkeypatch.setattr(sys, "argv", [*command, *words])
        quality.main()
        return asked

    return call


@pytest.mark.parametrize("methods", [["moco_v3"], ["untrained"], ["colour_histogram", "drop_rerank"]])
def test_a_later_set_smaller_than_a_batch_is_told_before_any_work(run, methods):
    with pytest.raises(SystemExit, match=r"than a batch of 12: shelves \(9\); choose others"):
        run("--methods", *methods)


def test_what_is_not_trained_takes_sets_of_any_size(run, tmp_path):
    assert run("--methods", "colour_histogram") == [["fields", "shelves"]]
    assert len(run("--bundle", str(tmp_path / "bundle"))) == 2
