"""What card and manifest say of labels is what training did with them, whatever the packs hold."""

import pytest

from export.default_encoder import BundleSettings, _described
from export.encoder_card import encoder_sections
from export.our_network import run_network
from training.checkpoint import RunState, build_model, save_checkpoint
from training.packs import PackedSet, PackIndex
from training.recipe import Recipe, recipe_values

SMALL = {"encoder": "nano", "image_size": 32, "patch_size": 16, "hidden_dim": 32, "projection_dim": 16}


@pytest.mark.parametrize(
    ("packed", "changes", "sentence", "kind"),
    [
        (False, {}, "not read, and not in the training packs", "unlabelled"),
        (True, {}, "in the training packs, not read", "unlabelled"),
        (True, {"holdout": 0.2}, "read by training", "labelled"),
        (True, {"supervision": "labels", "pictures_per_label": 2}, "read by training", "labelled"),
    ],
)
def test_labels(tmp_path, packed, changes, sentence, kind):
    recipe = Recipe(**SMALL, **changes)
    index = PackIndex(1, "f", 192, 90, packed, [PackedSet("cars", 10, 5, False)], 0, [])
    document = {
        "recipe": recipe_values(recipe), "training": {}, "run": {"epochs": 4.0, "step": 8, "num_steps": 8},
        "checkpoint": {"step": 8}, "num_pictures": 10, "seconds": 60.0, "sets": {}, "not_measured": {},
    }  # fmt: skip
    assert f"Labels of the training pictures: {sentence}." in encoder_sections(index, document)
    save_checkpoint(tmp_path, build_model(recipe), None, RunState(recipe, 8, "photos", 10, 60.0))
    described = _described(run_network(tmp_path), index, document, BundleSettings())
    assert described.trained_on == f"10 {kind} pictures of cars, 4 epochs, 1 minutes"
