"""A run on packs: epochs that fit the time, a run that moves, and what is refused."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from pictures import write_picture_folder
from safetensors.torch import load_file

from encoder.errors import ConfigError
from training.checkpoint import CHECKPOINT_NAME, read_state
from training.epoch_fitting import FittedEpochs, fit_epochs
from training.moved_run import say_where_pictures_lie
from training.pack_sources import PackSettings
from training.packed_training import train_packs
from training.packing import pack_sets
from training.packs import read_index
from training.picture_sets import find_sets
from training.recipe import Recipe
from training.run_note import NOTE_NAME
from training.trainer import train

CPU = torch.device("cpu")
RECIPE = Recipe(
    encoder="nano", image_size=32, patch_size=16, hidden_dim=32, projection_dim=16, epochs=3, batch_size=6, lr=1e-3
)


@pytest.fixture
def packs(tmp_path):
    write_picture_folder(tmp_path / "data" / "fields" / "train")
    pack_sets(find_sets(tmp_path / "data"), PackSettings(short_side=48), tmp_path / "work" / "packs")
    return tmp_path / "work" / "packs"


def start(packs, recipe=RECIPE, **options):
    work = packs.parent
    return train_packs(recipe, packs, work / "pictures", work / "run", device=CPU, quiet=True, **options)


def test_a_finished_run_is_left_as_it_is_wherever_it_was_trained(packs):
    assert start(packs).step == 6
    note = json.loads((packs.parent / "run" / NOTE_NAME).read_text())
    assert (note["sets"], note["labelled"], note["fitted"]) == (["fields"], False, None)
    (packs.parent / "run" / NOTE_NAME).write_text(json.dumps({**note, "devices": ["a far GPU"]}))
    moved = packs.parent.rename(packs.parent.with_name("elsewhere")) / "packs"
    told = []
    assert start(moved, replace(RECIPE, precision="auto"), tell=told.append).step == 6
    assert told == [f"{moved.parent / 'run'} is trained already, 6 steps"]
    assert json.loads((moved.parent / "run" / NOTE_NAME).read_text())["devices"] == ["a far GPU"]
    with pytest.raises(ConfigError, match="another recipe .*lr"):
        start(moved, replace(RECIPE, lr=0.5))


def test_a_run_with_repeats_is_finished_when_all_its_steps_are_done(packs):
    recipe = replace(RECIPE, repeats=2)
    assert start(packs, recipe).step == 12
    run = packs.parent / "run"
    state = read_state(run)
    assert (state.num_steps, state.epochs) == (12, 3.0)
    shutil.rmtree(run)
    train(recipe, packs.parent / "pictures" / "train", run, device=CPU, max_steps=6, quiet=True)
    note = {"packs": read_index(packs).digest(), "devices": [], "fitted": None}
    (run / NOTE_NAME).write_text(json.dumps(note))
    told = []
    assert start(packs, recipe, tell=told.append).step == 12
    assert not any("already" in line for line in told)


def test_what_a_refused_start_would_have_noted_is_not_believed(packs, tmp_path):
    train(
        replace(RECIPE, patch_size=8),
        tmp_path / "data" / "fields" / "train",
        tmp_path / "first",
        device=CPU,
        quiet=True,
    )
    with pytest.raises(ConfigError, match="does not fit"):
        start(packs, replace(RECIPE, init=str(tmp_path / "first")))
    start(packs)
    assert json.loads((packs.parent / "run" / NOTE_NAME).read_text())["earlier"] == []


def test_a_run_that_was_fitted_to_a_time_wants_that_time_again(packs):
    fitted = start(packs, minutes=0.05)
    note = (packs.parent / "run" / NOTE_NAME).read_text()
    for minutes in (None, 5):
        with pytest.raises(ConfigError, match=r"begun for 0.05 minutes \(--minutes\); ask for the same"):
            start(packs, replace(RECIPE, epochs=99), minutes=minutes)
    assert (packs.parent / "run" / NOTE_NAME).read_text() == note
    assert start(packs, minutes=0.05).step == fitted.step


def test_a_run_of_a_number_of_epochs_is_not_asked_for_a_time(packs):
    start(packs)
    with pytest.raises(ConfigError, match="begun with the epochs of its recipe"):
        start(packs, minutes=5)


def test_a_run_goes_on_where_its_pictures_lie_now_to_the_same_weights(packs, tmp_path):
    start(packs)
    whole = load_file(packs.parent / "run" / CHECKPOINT_NAME)
    data = packs.parent / "pictures" / "train"
    train(RECIPE, data, tmp_path / "half" / "run", device=CPU, max_steps=3, quiet=True)
    moved = shutil.move(data, tmp_path / "half" / "pictures")
    run = tmp_path / "half" / "run"
    with pytest.raises(ConfigError, match="restore them or choose another --out"):
        train(RECIPE, moved, run, device=CPU, quiet=True)
    say_where_pictures_lie(run, moved)
    assert read_state(run).data == str(moved)
    assert train(RECIPE, moved, run, device=CPU, quiet=True).step == 6
    found = load_file(run / CHECKPOINT_NAME)
    assert all(torch.equal(whole[name], found[name]) for name in whole)


def test_other_packs_than_the_run_was_trained_on_are_refused(packs, tmp_path):
    start(packs)
    write_picture_folder(tmp_path / "data" / "more" / "train")
    pack_sets(find_sets(tmp_path / "data"), PackSettings(short_side=48), packs)
    with pytest.raises(ConfigError, match="was trained on other packs"):
        start(packs)


def test_a_recipe_that_reads_labels_needs_packs_that_hold_them(packs):
    with pytest.raises(ConfigError, match="the recipe reads labels, but the training packs"):
        start(packs, replace(RECIPE, holdout=0.4))


def test_the_name_of_a_set_is_no_rank_of_its_labels(tmp_path):
    """It stands as a folder above them, where a second weight would take pictures of one set for one kind."""
    labelled = replace(RECIPE, supervision="labels", rank_weights=(1.0, 0.5))
    for name in ("fields", "meadows"):
        write_picture_folder(tmp_path / "data" / name / "train")
    packs = tmp_path / "work" / "packs"
    pack_sets(find_sets(tmp_path / "data"), PackSettings(short_side=48, labelled=True), packs)
    with pytest.raises(ConfigError, match="rank_weights has 2 weights, but the labels .* are 1 folder deep"):
        start(packs, labelled)
    assert start(packs, replace(labelled, rank_weights=(1.0,))).step == 12


def test_the_epochs_fit_the_time_and_stay_when_it_is_resumed(packs):
    work = packs.parent
    start(packs, minutes=0.02)
    note = json.loads((work / "run" / NOTE_NAME).read_text())["fitted"]
    assert note["steps_per_epoch"] == 2
    assert note["epochs"] == max(1, int(0.95 * 60 * 0.02 / (2 * note["step_s"])))
    state = read_state(work / "run")
    assert (state.recipe.epochs, state.step) == (note["epochs"], 2 * note["epochs"])
    assert start(packs, minutes=0.02).step == state.step
    assert not list(work.glob(".run.trial*"))


def test_the_trial_leaves_its_decoded_pictures_to_the_run(packs):
    work = packs.parent
    start(packs, replace(RECIPE, epochs=1))
    shutil.rmtree(work / "run")
    found = fit_epochs(RECIPE, work / "pictures" / "train", work / "run", CPU, 0.001)
    assert found.epochs == 1
    assert "one epoch alone takes longer" in found.line()
    assert (work / "run" / "pictures" / "pictures.npy").is_file()


def test_the_line_for_a_person():
    assert FittedEpochs(20.0, 0.25, 40, 114).line() == "0.250 s a step, 10.0 s an epoch: 114 epochs for 20 minutes"
