"""Recipes: what is read is what was written, and what is wrong is named."""

import pytest

from encoder.errors import ConfigError
from training.recipe import RECIPES_DIR, Recipe, load_recipe, recipe_from_values, save_recipe


@pytest.mark.parametrize("path", sorted(RECIPES_DIR.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_project_loads(path):
    assert load_recipe(path.stem) == load_recipe(str(path))


def test_paper_is_the_default():
    assert load_recipe("paper") == Recipe()


def test_saved_and_read_again(tmp_path):
    recipe = Recipe(
        encoder="nano", jitter=(0.1, 0.2, 0.3, 0.05), blur_prob=(0.5, 0.25), seed=7,
        supervision="labels", rank_weights=(1.0, 0.5, 0.25),
    )  # fmt: skip
    save_recipe(recipe, tmp_path / "recipe.toml")
    assert load_recipe(str(tmp_path / "recipe.toml")) == recipe


def test_flags_win_over_the_file():
    assert load_recipe("quick", {"epochs": 3}).epochs == 3


def test_whole_numbers_pass_as_floats():
    recipe = recipe_from_values({"weight_decay": 0, "jitter": [0, 0, 0, 0]}, "here")
    assert isinstance(recipe.weight_decay, float)
    assert recipe.jitter == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, r"here: unknown recipe field epoch; did you mean epochs\? the fields are encoder"),
        ({"epochs": "3"}, "epochs is '3', expected int"),
        ({"epochs": True}, "epochs is True, expected int"),
        ({"epochs": 2.5}, "epochs is 2.5, expected int"),
        ({"epochs": 0}, "epochs is 0, expected at least 1"),
        ({"jitter": [0.1]}, r"jitter is \[0.1\], expected 4 numbers"),
        ({"encoder": "huge"}, "encoder is 'huge', expected one of nano"),
        ({"local": "zeros"}, "local is 'zeros', expected one of zero, drop, random, none"),
        ({"batch_size": 1}, "hold a negative"),
        ({"temperature": 0.0}, "temperature is 0.0, expected above 0"),
        ({"momentum": 1.5}, r"momentum is 1.5, expected in \[0, 1\]"),
        ({"warmup": 1}, r"warmup is 1.0, expected in \[0, 1\): a share of the steps, not epochs"),
        ({"crop_min": 0.9, "crop_max": 0.5}, "crop_min is 0.9"),
        ({"stem": "conv", "patch_size": 14, "image_size": 56}, "patch_size is 14, expected a power of two"),
        ({"blur_prob": [0.1, 2.0]}, "blur_prob"),
        ({"supervision": "label"}, "supervision is 'label', expected one of none, labels"),
        ({"supervision": "labels", "rank_weights": []}, r"rank_weights is \(\), expected one number or more"),
        ({"supervision": "labels", "rank_weights": [1, -1]}, r"rank_weights is \(1.0, -1.0\), expected .* at least 0"),
        ({"supervision": "labels", "rank_weights": [0, 0]}, "rank_weights is .* one of them above"),
        ({"supervision": "labels", "rank_weights": [float("nan")]}, r"rank_weights is \(nan,\)"),
        ({"supervision": "labels", "rank_weights": 1.0}, "rank_weights is 1.0, expected a list of numbers"),
        ({"supervision": "labels", "pictures_per_label": 0}, "pictures_per_label is 0, expected at least 1"),
        ({"rank_weights": [1, 0.5]}, "rank_weights is .* unless supervision is labels"),
        ({"pictures_per_label": 2}, "pictures_per_label is 2, expected 1, unless supervision is labels"),
        (
            {"supervision": "labels", "pictures_per_label": 4, "batch_size": 30},
            "batch_size is 30, expected 2 or more times pictures_per_label 4, a multiple of it",
        ),
        ({"supervision": "labels", "pictures_per_label": 4, "batch_size": 4}, "batch_size is 4, expected 2 or more"),
        ({"lr": float("inf")}, "lr is inf, expected a finite number"),
        ({"temperature": float("nan")}, "temperature is nan, expected a finite number"),
        (
            {"image_size_start": 24},
            "image_size_start is 24, expected 0, or a multiple of patch_size 16 up to image_size",
        ),
        (
            {"image_size_start": 240},
            "image_size_start is 240, expected 0, or a multiple of patch_size 16 up to image_si",
        ),
        ({"image_size_start": 16}, "keep_ratio is 0.3, expected large enough to keep one of the 1 patches"),
        ({"keep_ratio_start": 0.2}, r"keep_ratio_start is 0.2, expected 0, or in \[keep_ratio 0.3, 1\)"),
        ({"keep_ratio_start": 1.0}, "keep_ratio_start is 1.0"),
        ({"num_small_crops": -1}, "num_small_crops is -1, expected at least 0"),
        (
            {"num_small_crops": 1, "small_crop_size": 100},
            "small_crop_size is 100, expected a multiple of patch_size 16",
        ),
        (
            {"num_small_crops": 1, "image_size_start": 80},
            "small_crop_size is 96, expected a multiple of patch_size 16 up to the smallest view, 80",
        ),
        ({"small_crop_area": [0.4, 0.2]}, r"small_crop_area is \(0.4, 0.2\), expected two shares in \(0, 1\]"),
        ({"repeats": 0}, "repeats is 0, expected at least 1"),
        ({"repeats": 3}, "repeats is 3, expected a divisor of batch_size 256"),
        ({"repeats": 256}, "repeats is 256, expected a divisor of batch_size 256 that leaves 2 pictures a step"),
        (
            {"image_size": 32, "keep_ratio": 0.2},
            "keep_ratio is 0.2, expected large enough to keep one of the 4 patches",
        ),
    ],
)
def test_faults_name_the_field_what_it_is_and_what_it_must_be(values, message):
    with pytest.raises(ConfigError, match=message):
        recipe_from_values(values, "here")
