"""The result file of the benchmark of few pictures: what it holds of other settings stays, and it is always whole."""

import json
import sys

import pytest
import small_data
from pictures import write_picture_folder

TINY = {
    "encoder": "nano", "image_size": 32, "patch_size": 16, "hidden_dim": 32, "projection_dim": 16, "batch_size": 8,
    "lr": 1e-3, "precision": "fp32",
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    for split, per_label in (("train", 4), ("test", 3)):
        write_picture_folder(tmp_path / "data" / "fields" / split, per_label=per_label)
    monkeypatch.setattr(small_data, "variants", lambda: {"tiny": TINY})

    def call(*words):
        command = ["small_data.py", str(tmp_path / "data"), "--set", "fields", "--out", str(tmp_path / "result.json")]
        monkeypatch.setattr(sys, "argv", [*command, "--seeds", "1", "--pictures", "8", *words])
        small_data.main()

    return call


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"set": "flowers17"}, "with set flowers17, these would be with set fields;"),
        ({"pictures": 2560}, "with pictures 2560, these would be with pictures 8;"),
        ({"start": {**small_data.START, "lr": 9}}, "'lr': 9,.* these would be with start .*'lr': 0.002,"),
        ({"start": None}, "with start None, these would be with start "),
    ],
)
def test_runs_of_other_settings_are_not_thrown_away(tmp_path, run, change, said):
    path = tmp_path / "result.json"
    kept = {"set": "fields", "pictures": 8, "start": small_data.START, "runs": [{"row": "tiny", "seed": 0}]}
    path.write_text(json.dumps({**kept, **change}))
    before = path.read_bytes()
    with pytest.raises(SystemExit, match=rf"{said}.*choose another --out"):
        run()
    assert path.read_bytes() == before
    path.write_text(json.dumps(kept))
    run()
    assert json.loads(path.read_text())["runs"] == kept["runs"]


def test_the_kept_results_are_of_the_settings_that_are_here():
    kept = json.loads(small_data.RESULT.read_text(encoding="utf-8"))
    assert kept["start"] == small_data.START


def test_a_set_smaller_than_a_batch_is_refused(run, monkeypatch):
    monkeypatch.setattr(small_data, "variants", lambda: {"tiny": {**TINY, "batch_size": 16}})
    with pytest.raises(SystemExit, match=r"than a batch of 16: fields \(12\)"):
        run()


def test_a_reader_of_the_old_file_sees_it_whole(tmp_path, run):
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"set": "fields", "pictures": 8, "runs": []}))
    with path.open(encoding="utf-8") as reader:
        run()
        assert json.load(reader)["runs"] == []
    assert [(one["row"], one["seed"]) for one in json.loads(path.read_text())["runs"]] == [("tiny", 0)]
    assert not list(tmp_path.glob("*.partial"))
