"""What card and manifest say of labels, test pictures and first weights is what is known of them, and no more."""

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
    index = PackIndex(1, "f", 192, 90, packed, [PackedSet("cars", 10, 5, False)], 0, 0, [])
    document = {
        "recipe": recipe_values(recipe), "training": {}, "run": {"epochs": 4.0, "step": 8, "num_steps": 8},
        "checkpoint": {"step": 8}, "num_pictures": 10, "seconds": 60.0, "sets": {}, "not_measured": {},
    }  # fmt: skip
    assert f"Labels of the training pictures: {sentence}." in encoder_sections(index, document)
    save_checkpoint(tmp_path, build_model(recipe), None, RunState(recipe, 8, "photos", 10, 60.0))
    described = _described(run_network(tmp_path), index, document, BundleSettings())
    assert described.trained_on == f"10 {kind} pictures of cars, 4 epochs, 1 minutes"


@pytest.mark.parametrize(
    ("num_trained_too", "earlier", "said"),
    [
        (0, False, "On test pictures that were not trained on, by cosine"),
        (0, True, "On test pictures that were not trained on in this stage, by cosine"),
        (6, True, "On test pictures, of which 6 were trained on too in this stage, by cosine"),
        (None, False, "On test pictures, by cosine"),
    ],
)
def test_what_is_said_of_test_pictures_and_of_the_first_weights(num_trained_too, earlier, said):
    figures = {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in ("rank_1", "rank_5", "mAP")}
    methods = {"encoder": figures, "colour histogram": figures}
    index = PackIndex(1, "f", 192, 90, False, [PackedSet("cars", 10, 5, False)], 0, num_trained_too, [])

    def card(first_init):
        recipe = recipe_values(Recipe(**SMALL, init="one/run" if earlier else first_init))
        stage = {"recipe": recipe_values(Recipe(**SMALL, init=first_init)), "sets": [], "num_pictures": 10, "step": 8,
                 "epochs": 4.0, "seconds": 60.0}  # fmt: skip
        document = {
            "recipe": recipe, "training": {"earlier": [stage] if earlier else []}, "num_pictures": 10, "seconds": 60.0,
            "run": {"epochs": 4.0, "step": 8, "num_steps": 8}, "checkpoint": {"step": 8}, "not_measured": {},
            "sets": {"cars": {"protocol": "leave one out in test", "num_queries": 5, "methods": methods}},
        }  # fmt: skip
        return encoder_sections(index, document)

    assert said in card("")
    assert "It has seen the pictures named above and no others." in card("")
    assert "What its initial weights were trained on is not known here." in card("vit.pth")
