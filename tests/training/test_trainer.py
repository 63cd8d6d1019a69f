"""Runs on a small CPU: resumed equals uninterrupted, stopped means saved, and what is refused."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from pictures import drawn, file_bytes, write_picture_folder
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from encoder.errors import ConfigError, SourceError, TrainingError
from lodisc.cli import main
from training.checkpoint import BEST_NAME, CHECKPOINT_NAME, load_model, read_state
from training.monitor import Monitor
from training.recipe import Recipe
from training.trainer import train

CPU = torch.device("cpu")
TINY = {
    "encoder": "nano", "image_size": 32, "patch_size": 16, "hidden_dim": 32, "projection_dim": 16,
    "epochs": 3, "batch_size": 6, "lr": 1e-3,
}  # fmt: skip


@pytest.fixture
def photos(tmp_path):
    return write_picture_folder(tmp_path / "photos", per_label=4)  # 12 pictures: 2 steps an epoch, 6 in all


def tensors(run):
    return load_file(run / CHECKPOINT_NAME)


@pytest.mark.parametrize(
    "changes",
    [
        {"local": "zero"},
        {"local": "drop"},
        {"local": "random"},
        {"local": "none"},
        {"predictor_dropout": 0.2, "momentum_updates": 4, "projector": "none", "feature": "predictor"},
        {"micro_batch": 4, "precision": "bf16"},
        {"image_size_start": 32, "image_size": 64, "local": "drop", "positions": "rope"},
        {"image_size_start": 32, "image_size": 64, "micro_batch": 4},
        {"keep_ratio_start": 0.9, "local": "drop"},
        {"num_small_crops": 2, "small_crop_size": 16, "micro_batch": 4},
        {"repeats": 2, "epochs": 2, "batch_size": 8},
        {"holdout": 0.4, "batch_size": 3, "seed": 1},
    ],
    ids=lambda changes: "-".join(changes) + "-" + str(next(iter(changes.values()))),
)
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(photos, tmp_path, changes):
    recipe = Recipe(**TINY | changes)
    whole = train(recipe, photos, tmp_path / "whole", device=CPU, quiet=True)
    for stop in (1, 3, 4, 6):
        part = train(recipe, photos, tmp_path / "parts", device=CPU, max_steps=stop, quiet=True)
    assert (whole.step, part.step, whole.num_steps) == (6, 6, 6)
    one, other = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert one.keys() == other.keys()
    assert any(name.startswith("optimizer.exp_avg.") for name in one)
    differing = [name for name in one if not torch.equal(one[name], other[name])]
    assert differing == []
    assert (tmp_path / "whole" / BEST_NAME).is_file() == (recipe.holdout > 0)
    if recipe.holdout > 0:
        best, again = (load_file(tmp_path / run / BEST_NAME) for run in ("whole", "parts"))
        assert all(torch.equal(best[name], again[name]) for name in best)


@pytest.mark.parametrize(
    "changes", [{}, {"image_size_start": 32, "image_size": 64, "num_small_crops": 1, "small_crop_size": 16}], ids=len
)
def test_compiled_encoders_train_to_the_same_weights_and_the_same_file(photos, tmp_path, monkeypatch, changes):
    """Through torch.compile's tracing, with a backend that changes no arithmetic (the usual one rounds elsewhere)."""
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compile_module(self, backend="eager"))
    for run, compiled in (("plain", False), ("compiled", True)):
        train(Recipe(**TINY | changes), photos, tmp_path / run, device=CPU, compiled=compiled, quiet=True)
    one, other = tensors(tmp_path / "plain"), tensors(tmp_path / "compiled")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_finished_run_is_left_as_it_is(photos, tmp_path):
    recipe = Recipe(**TINY)
    train(recipe, photos, tmp_path / "run", device=CPU, quiet=True)
    before = tensors(tmp_path / "run")
    assert train(recipe, photos, tmp_path / "run", device=CPU, quiet=True).step == 6
    assert all(torch.equal(before[name], value) for name, value in tensors(tmp_path / "run").items())


def test_a_run_leaves_its_recipe_log_and_state(photos, tmp_path):
    recipe = Recipe(**TINY)
    train(recipe, photos, tmp_path / "run", device=CPU, quiet=True)
    state = read_state(tmp_path / "run")
    assert (state.recipe, state.step, state.num_pictures) == (recipe, 6, 12)
    assert 'encoder = "nano"' in (tmp_path / "run" / "recipe.toml").read_text()
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert all(line["Lg"] > 0 and line["Ll"] > 0 for line in lines)


def test_training_changes_the_encoder_and_lowers_the_loss(photos, tmp_path):
    recipe = Recipe(**TINY | {"epochs": 40, "batch_size": 12, "lr": 0.02, "warmup": 0.0})
    train(recipe, photos, tmp_path / "run", device=CPU, quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    total = [line["Lg"] + line["Ll"] for line in lines]
    assert sum(total[-5:]) < 0.9 * sum(total[:5])


def test_another_recipe_or_other_pictures_are_refused(photos, tmp_path):
    train(Recipe(**TINY), photos, tmp_path / "run", device=CPU, max_steps=1, quiet=True)
    with pytest.raises(ConfigError, match="another recipe"):
        train(Recipe(**TINY | {"lr": 0.5}), photos, tmp_path / "run", device=CPU, quiet=True)
    (photos / "red" / "0.png").unlink()
    with pytest.raises(ConfigError, match="12 pictures .* now there are 11"):
        train(Recipe(**TINY), photos, tmp_path / "run", device=CPU, quiet=True)


def test_as_many_pictures_of_other_names_are_refused(photos, tmp_path):
    train(Recipe(**TINY), photos, tmp_path / "run", device=CPU, max_steps=1, quiet=True)
    (photos / "red" / "0.png").rename(photos / "red" / "other.png")
    with pytest.raises(ConfigError, match="started on other pictures of .*as many, of other names"):
        train(Recipe(**TINY), photos, tmp_path / "run", device=CPU, max_steps=2, quiet=True)
    (photos / "red" / "other.png").rename(photos / "red" / "0.png")
    assert train(Recipe(**TINY), photos, tmp_path / "run", device=CPU, max_steps=2, quiet=True).step == 2


def test_a_checkpoint_from_before_the_pictures_were_noted_goes_on_and_notes_them(photos, tmp_path):
    train(Recipe(**TINY), photos, tmp_path / "run", device=CPU, max_steps=1, quiet=True)
    path = tmp_path / "run" / CHECKPOINT_NAME
    noted = read_state(path).pictures
    with safe_open(path, framework="pt") as file:
        metadata = {name: value for name, value in file.metadata().items() if name != "pictures"}
    save_file(tensors(tmp_path / "run"), path, metadata)
    assert read_state(path).pictures == ""
    train(Recipe(**TINY), photos, tmp_path / "run", device=CPU, max_steps=2, quiet=True)
    assert read_state(path).pictures == noted != ""


def test_a_batch_larger_than_the_set_is_refused_with_what_to_do(photos, tmp_path):
    with pytest.raises(ConfigError, match="--batch-size 12 or less"):
        train(Recipe(**TINY | {"batch_size": 13}), photos, tmp_path / "run", device=CPU, quiet=True)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(photos, tmp_path, monkeypatch):
    recipe = Recipe(**TINY)
    train(recipe, photos, tmp_path / "run", device=CPU, max_steps=2, quiet=True)
    monkeypatch.setattr("training.model.info_nce", lambda q, *rest: q.sum() * float("nan"))
    with pytest.raises(TrainingError, match="loss is nan"):
        train(recipe, photos, tmp_path / "run", device=CPU, quiet=True)
    assert read_state(tmp_path / "run").step == 2
    load_model(tmp_path / "run")


def test_a_gradient_that_is_no_number_stops_before_its_weights_are_saved(photos, tmp_path, monkeypatch):
    recipe = Recipe(**TINY)
    train(recipe, photos, tmp_path / "run", device=CPU, max_steps=2, quiet=True)
    monkeypatch.setattr("training.trainer.SAVE_EVERY_S", -1.0)  # save every step
    # The loss is 0, and the slope of a square root at 0 is infinite.
    monkeypatch.setattr("training.model.info_nce", lambda q, *rest: (q.sum() * 0).sqrt())
    with pytest.raises(TrainingError, match=r"the gradient is nan in epoch 2; lower --lr"):
        train(recipe, photos, tmp_path / "run", device=CPU, quiet=True)
    assert read_state(tmp_path / "run").step == 2
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors(tmp_path / "run").values())


def test_unreadable_pictures_are_skipped_and_named(photos, tmp_path, caplog):
    (photos / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
    train(Recipe(**TINY), photos, tmp_path / "run", device=CPU, max_steps=1, quiet=True)
    assert "red/broken.png" in caplog.text
    assert read_state(tmp_path / "run").num_pictures == 12
    assert "red/broken.png" in (tmp_path / "run" / "report.html").read_text()


def test_too_many_unreadable_pictures_stop_the_start(photos, tmp_path):
    for number in range(3):
        (photos / "red" / f"broken{number}.png").write_bytes(b"no")
    with pytest.raises(SourceError, match="3 of 15 pictures cannot be decoded .*red/broken0.png.*--max-unreadable"):
        train(Recipe(**TINY), photos, tmp_path / "run", device=CPU, quiet=True)
    assert train(Recipe(**TINY), photos, tmp_path / "run", device=CPU, max_unreadable=0.2, quiet=True).step == 6


@pytest.mark.parametrize("content", [b"", file_bytes(drawn((9, 9, 99), 0))], ids=["none", "one"])
def test_too_few_pictures(tmp_path, content):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.png").write_bytes(content)
    with pytest.raises(SourceError, match="at least 2"):
        train(Recipe(**TINY), tmp_path / "one", tmp_path / "run", device=CPU, quiet=True)


def test_two_identical_pictures_train_a_step_and_one_class_is_as_good_as_many(photos, tmp_path):
    """Labels are not read, so a folder of one class is any folder."""
    recipe = Recipe(**TINY | {"batch_size": 4, "epochs": 1})
    assert train(recipe, photos / "red", tmp_path / "red", device=CPU, quiet=True).step == 1


def test_two_pictures_that_differ_are_no_collapse(tmp_path):
    (tmp_path / "two").mkdir()
    for number, colour in enumerate([(200, 50, 40), (40, 70, 210)]):
        drawn(colour, number).save(tmp_path / "two" / f"{number}.png")
    recipe = Recipe(**TINY | {"batch_size": 2, "epochs": 1})
    assert train(recipe, tmp_path / "two", tmp_path / "run", device=CPU, quiet=True).step == 1


def test_the_newest_checkpoints_and_the_best_stay(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("training.trainer.SAVE_EVERY_S", -1.0)  # save every step
    recipe = Recipe(**TINY | {"holdout": 0.4, "batch_size": 3, "epochs": 4, "seed": 1})
    result = train(recipe, photos, tmp_path / "run", device=CPU, keep_last=3, quiet=True)
    found = sorted(path.name for path in (tmp_path / "run").glob("*.safetensors"))
    last = result.num_steps
    aside = [f"checkpoint-{step:08d}.safetensors" for step in (last - 2, last - 1)]
    assert found == [BEST_NAME, *aside, CHECKPOINT_NAME]
    assert [read_state(tmp_path / "run" / name).step for name in (*aside, CHECKPOINT_NAME)] == [
        last - 2,
        last - 1,
        last,
    ]
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    best = max(lines, key=lambda line: line["mAP"])
    assert read_state(tmp_path / "run" / BEST_NAME).step == best["step"]
    assert result.best_map == best["mAP"]
    # What is measured is what `best.safetensors` holds.
    assert 0 < best["mAP"] <= best["rank_5"] <= 1


def test_a_collapsed_embedding_stops_the_run_with_a_diagnosis_and_keeps_what_was_saved(photos, tmp_path, monkeypatch):
    recipe = Recipe(**TINY)
    train(recipe, photos, tmp_path / "run", device=CPU, max_steps=2, quiet=True)
    monkeypatch.setattr(Monitor, "_cls", lambda self, store, rows: torch.ones(len(rows), 8))
    with pytest.raises(TrainingError, match="collapsed in epoch 2.*effective rank 1.0.*lower --lr"):
        train(recipe, photos, tmp_path / "run", device=CPU, quiet=True)
    assert read_state(tmp_path / "run").step == 2


def lodisc(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "lodisc", *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items() if name != "epochs"]


def test_sigterm_saves_and_the_same_command_resumes(photos, tmp_path):
    run = tmp_path / "run"
    command = ["train", "--data", photos, "--out", run, *FLAGS, "--epochs=100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lodisc", *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (run / "log.jsonl").is_file():
        time.sleep(0.1)
    time.sleep(1)
    os.kill(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    step = int(re.search(r"stopped at step (\d+)", out)[1])
    assert step > 0
    assert read_state(run).step == step
    again = lodisc(*command, "--max-steps", step + 2)
    assert again.returncode == 0, again.stderr
    assert read_state(run).step == step + 2


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from lodisc.cli import main
sys.exit(main(sys.argv[2:]))
"""


def test_a_full_disk_is_one_clear_line_and_nothing_is_lost(photos, tmp_path):
    """A limit on the size of files stands for the full disk: writing beyond it fails as there."""
    run = tmp_path / "run"
    command = ["train", "--data", photos, "--out", run, *FLAGS, "--epochs=3", "--quiet"]

    def limited(num_bytes, *more):
        arguments = [sys.executable, "-c", LIMITED, str(num_bytes), *map(str, (*command, *more))]
        return subprocess.run(arguments, capture_output=True, text=True, check=False)

    done = limited(20_000)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "decoded pictures could not be written" in done.stderr
    assert lodisc(*command, "--max-steps", 2).returncode == 0
    before = (run / CHECKPOINT_NAME).read_bytes()
    for num_bytes, message in (
        (1_000_000, "checkpoint.safetensors could not be written"),
        (500, "could not be written"),
    ):
        done = limited(num_bytes)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert message in done.stderr
        assert "free some space" in done.stderr
        assert (run / CHECKPOINT_NAME).read_bytes() == before
        assert list(run.rglob("*.partial")) == []
    again = lodisc(*command)
    assert again.returncode == 0, again.stderr
    whole = train(Recipe(**TINY), photos, tmp_path / "whole", device=CPU, quiet=True)
    assert whole.step == read_state(run).step
    one, other = tensors(run), tensors(tmp_path / "whole")
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_faults_are_one_clear_line_and_exit_code_2(photos, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.toml").write_text('encodr = "nano"\n')
    (tmp_path / "broken.toml").write_text("encoder = \n")
    run = tmp_path / "run"
    for arguments, message in (
        (("train", "--data", tmp_path / "nowhere", "--out", run), "does not exist"),
        (("train", "--data", tmp_path / "bad.toml", "--out", run), "is a file, expected a folder"),
        (("train", "--data", photos, "--out", tmp_path / "bad.toml"), "choose another --out"),
        (("train", "--data", tmp_path / "empty", "--out", run), "holds no pictures"),
        (("train", "--data", photos, "--out", photos / "run"), "lies in the pictures"),
        (("train", "no-such-recipe", "--data", photos, "--out", run), "one of: authors"),
        (("train", tmp_path / "bad.toml", "--data", photos, "--out", run), "unknown recipe field encodr"),
        (("train", tmp_path / "broken.toml", "--data", photos, "--out", run), "not valid TOML"),
        (("train", "--data", photos, "--out", run, "--keep-ratio", "1.5"), "keep_ratio is 1.5, expected in (0, 1)"),
        (("train", "--data", photos, "--out", run, "--image-size", "100"), "a multiple of patch_size"),
        (("train", "--data", photos, "--out", run, "--device", "cuda:7"), "--device cpu"),
        (("evaluate", tmp_path / "nowhere", "--data", photos), "nowhere"),
        (("evaluate", tmp_path / "empty", "--data", photos), "checkpoint.safetensors"),
        (("export", tmp_path / "nowhere", "--out", tmp_path / "b"), "nowhere"),
    ):
        assert main([str(argument) for argument in arguments]) == 2, arguments
        told = capsys.readouterr().err
        assert told.startswith("lodisc: error: "), arguments
        assert told.count("\n") == 1, arguments
        assert message in told, arguments
