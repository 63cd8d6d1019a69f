"""A run that goes on from another says what lies before it, also when that is gone."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from pictures import write_picture_folder

from export.encoder_card import encoder_sections, stage_summary
from training.checkpoint import CHECKPOINT_NAME, read_state
from training.earlier_stages import earlier_stages
from training.embedders import labelled_pictures, run_embedders
from training.figures import measure_run
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
    encoder="nano", image_size=32, patch_size=16, hidden_dim=32, projection_dim=16, epochs=1, batch_size=6, lr=1e-3
)


@pytest.fixture
def packs(tmp_path):
    write_picture_folder(tmp_path / "data" / "fields" / "train")
    pack_sets(find_sets(tmp_path / "data"), PackSettings(short_side=48), tmp_path / "packs")
    return tmp_path / "packs"


def train_on(packs, name, recipe):
    train_packs(recipe, packs, packs.parent / "pictures", packs.parent / name, device=CPU, quiet=True)
    return json.loads((packs.parent / name / NOTE_NAME).read_text())["earlier"]


def card(packs, name, tmp_path):
    document = measure_run(tmp_path / name, packs, tmp_path / "pictures", tmp_path / f"{name}.json", device=CPU)
    return encoder_sections(read_index(packs), document)


def test_three_stages_are_told_in_order_though_the_first_is_gone(packs, tmp_path):
    assert train_on(packs, "first", RECIPE) == []
    second = replace(RECIPE, init=str(tmp_path / "first"), epochs=2)
    (told,) = train_on(packs, "second", second)
    assert (told["recipe"]["epochs"], told["sets"], told["num_pictures"], told["step"]) == (1, ["fields"], 12, 2)
    assert told["seconds"] > 0
    shutil.rmtree(tmp_path / "first")

    checkpoint = tmp_path / "second" / "checkpoint.safetensors"
    third = replace(RECIPE, init=str(checkpoint), epochs=3, image_size=48)
    earlier = train_on(packs, "third", third)
    assert [stage["recipe"]["epochs"] for stage in earlier] == [1, 2]
    assert earlier[0] == told
    text = card(packs, "third", tmp_path)
    assert "seed 0 (one run), from the end of 2 earlier stages (below)." in text
    positions = [
        text.index(words) for words in ("in full", "Stage 1 before it, 1 epoch ", "Stage 2 before it, 2 epochs")
    ]
    assert positions == sorted(positions)
    assert ", from random initial weights:" in text
    assert text.count("```toml") == 3


def test_an_interrupted_stage_keeps_what_was_noted_though_what_it_began_from_is_gone(packs, tmp_path):
    train_on(packs, "first", RECIPE)
    second = replace(RECIPE, init=str(tmp_path / "first"), epochs=2)
    told = train_on(packs, "second", second)
    data = tmp_path / "pictures" / "train"
    train(second, data, tmp_path / "half", device=CPU, quiet=True, max_steps=1)
    shutil.copy(tmp_path / "half" / CHECKPOINT_NAME, tmp_path / "second" / CHECKPOINT_NAME)
    shutil.rmtree(tmp_path / "first")
    assert train_on(packs, "second", second) == told
    assert read_state(tmp_path / "second").step == 4


def test_the_stage_before_is_measured_as_it_embeds_itself_where_it_is_there(packs, tmp_path, caplog):
    whitened = replace(RECIPE, whitening=0.5)
    train_on(packs, "first", whitened)
    train_on(packs, "second", replace(whitened, init=str(tmp_path / "first"), feature="mean"))
    pictures = labelled_pictures(tmp_path / "data" / "fields" / "train")
    embedders = run_embedders(tmp_path / "second", CPU, baselines=True)
    assert list(embedders) == ["encoder", "the stage before", "untrained"]
    expected = run_embedders(tmp_path / "first", CPU, baselines=False)["encoder"](pictures)
    np.testing.assert_array_equal(embedders["the stage before"](pictures), expected)
    shutil.rmtree(tmp_path / "first")
    assert list(run_embedders(tmp_path / "second", CPU, baselines=True)) == ["encoder", "untrained"]
    assert "what the run began from is not measured" in caplog.text


def test_a_set_that_cannot_be_measured_is_named_and_the_others_are_measured(tmp_path):
    write_picture_folder(tmp_path / "data" / "fields" / "train")
    write_picture_folder(tmp_path / "data" / "fields" / "test")
    write_picture_folder(tmp_path / "data" / "lone" / "train")
    shutil.copytree(tmp_path / "data" / "lone" / "train" / "red", tmp_path / "data" / "lone" / "test" / "red")
    pack_sets(find_sets(tmp_path / "data"), PackSettings(short_side=48), tmp_path / "packs")
    train_on(tmp_path / "packs", "run", RECIPE)
    document = measure_run(
        tmp_path / "run", tmp_path / "packs", tmp_path / "pictures", tmp_path / "figures.json", device=CPU
    )
    assert (list(document["sets"]), list(document["not_measured"])) == (["fields"], ["lone"])
    assert json.loads((tmp_path / "figures.json").read_text()) == document
    text = encoder_sections(read_index(tmp_path / "packs"), document, "Chosen by a coin.")
    assert "- Not measured on lone: all " in text
    assert "\nChosen by a coin.\n" in text


def test_the_card_of_a_stopped_run_tells_the_epochs_that_were_done(packs, tmp_path):
    train_on(packs, "run", RECIPE)
    train(
        replace(RECIPE, epochs=40),
        tmp_path / "pictures" / "train",
        tmp_path / "half",
        device=CPU,
        quiet=True,
        max_steps=3,
    )
    text = card(packs, "half", tmp_path)
    assert "1.5 epochs, 3 steps of 6 pictures" in text
    assert "- Training was not finished: 3 of 80 steps." in text
    assert "named above and no others" in text


def test_what_a_run_outside_packs_knows_of_itself_is_told(packs, tmp_path):
    train(replace(RECIPE, seed=5), tmp_path / "data" / "fields" / "train", tmp_path / "plain", device=CPU, quiet=True)
    (told,) = earlier_stages(replace(RECIPE, init=str(tmp_path / "plain")))
    assert (told["recipe"]["seed"], told["sets"], told["num_pictures"]) == (5, [], 12)
    assert stage_summary({**told, "seconds": 90.0}) == "1 epoch of 12 unlabelled pictures (1.5 minutes)"


def test_a_stage_that_read_labels_says_so(packs):
    summary = stage_summary(
        {
            "recipe": {"epochs": 4, "supervision": "labels"},
            "sets": ["a", "b"],
            "num_pictures": 9,
            "epochs": 4.0,
            "seconds": 60.0,
        }
    )
    assert summary == "4 epochs of 9 labelled pictures of a, b (1.0 minutes)"


def test_nothing_lies_before_a_run_that_begins_from_nothing_or_from_a_file():
    assert earlier_stages(RECIPE) == []
    assert earlier_stages(replace(RECIPE, init="timm:vit_tiny")) == []


def test_a_learnt_stem_is_told(packs, tmp_path):
    train_on(packs, "run", replace(RECIPE, stem="conv", stem_init="pca"))
    assert "from random initial weights and a stem made from statistics of the training pictures." in card(
        packs, "run", tmp_path
    )
