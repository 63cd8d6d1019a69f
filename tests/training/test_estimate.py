"""`lodisc train --dry-run`: figures against the run itself, and nothing written."""

import pytest
import torch
from pictures import write_picture_folder

from encoder.errors import ConfigError
from lodisc.cli import main
from training.checkpoint import CHECKPOINT_NAME
from training.estimate import estimate_run
from training.recipe import Recipe
from training.schedule import settings_at
from training.trainer import train

CPU = torch.device("cpu")
RECIPE = Recipe(
    encoder="nano", image_size=32, patch_size=16, hidden_dim=32, projection_dim=16, epochs=2, batch_size=4, lr=1e-3
)


@pytest.fixture
def photos(tmp_path):
    return write_picture_folder(tmp_path / "photos")


def test_its_figures_are_those_of_the_run(photos, tmp_path):
    estimate = estimate_run(RECIPE, photos, CPU)
    result = train(RECIPE, photos, tmp_path / "run", device=CPU, quiet=True)
    assert (estimate.num_steps, estimate.steps_per_epoch, estimate.num_pictures) == (result.num_steps, 3, 12)
    checkpoint = (tmp_path / "run" / CHECKPOINT_NAME).stat().st_size
    pictures = (tmp_path / "run" / "pictures" / "pictures.npy").stat().st_size
    assert estimate.disk_bytes == pytest.approx(2 * checkpoint + pictures, rel=0.02)
    # Both encoders, gradients and two moments of one of them, in float32, and something for the forward.
    assert estimate.memory_bytes > 4 * (estimate.num_all + 3 * estimate.num_trained)


def test_a_larger_batch_keeps_more_for_the_backward(photos):
    small, large = (
        estimate_run(Recipe(**RECIPE.__dict__ | {"batch_size": size}), photos, CPU).memory_bytes for size in (3, 12)
    )
    weights = 4 * (estimate_run(RECIPE, photos, CPU).num_all + 3 * estimate_run(RECIPE, photos, CPU).num_trained)
    assert (large - weights) / (small - weights) == pytest.approx(4, rel=0.3)


def test_the_command_prints_and_writes_nothing(photos, tmp_path, capsys):
    flags = ["--encoder=nano", "--image-size=32", "--hidden-dim=32", "--batch-size=4", "--epochs=2"]
    assert main(["train", "--data", str(photos), "--out", str(tmp_path / "run"), *flags, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == [
        "parameters", "pictures", "steps", "memory", "disk", "time",
    ]  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_faults_are_those_of_the_run(photos):
    with pytest.raises(ConfigError, match="--batch-size 12 or less"):
        estimate_run(Recipe(**RECIPE.__dict__ | {"batch_size": 13}), photos, CPU)
    with pytest.raises(ConfigError, match="absent.pth do not exist"):
        estimate_run(Recipe(**RECIPE.__dict__ | {"init": "absent.pth"}), photos, CPU)


def test_nothing_is_fetched_for_it(photos):
    recipe = Recipe(**RECIPE.__dict__ | {"init": "https://weights.invalid/vit.pth"})
    assert estimate_run(recipe, photos, CPU).num_steps == estimate_run(RECIPE, photos, CPU).num_steps


def test_a_run_whose_views_grow_is_measured_at_each_size_and_weighted_by_its_steps(photos, monkeypatch):
    """With the clock of the steps replaced by the number of pixels, which is what the time must be the mean of."""
    recipe = Recipe(**RECIPE.__dict__ | {"image_size": 64, "image_size_start": 32, "epochs": 4})
    measured = []

    def by_pixels(step, num_processes, settings):
        measured.append(settings.image_size)
        return settings.image_size**2, settings.image_size

    monkeypatch.setattr("training.estimate._measure", by_pixels)
    estimate = estimate_run(recipe, photos, CPU)
    sides = [settings_at(step, 12, recipe).image_size for step in range(12)]
    assert measured == [32, 48, 64]
    assert estimate.step_s == pytest.approx(sum(side**2 for side in sides) / 12)
    assert estimate.memory_bytes == 64


def test_every_option_can_be_estimated(photos):
    options = {"image_size_start": 16, "num_small_crops": 1, "small_crop_size": 16, "repeats": 2, "keep_ratio": 0.5,
               "keep_ratio_start": 0.8, "patch_size": 8}  # fmt: skip
    estimate = estimate_run(Recipe(**RECIPE.__dict__ | options), photos, CPU)
    assert (estimate.num_steps, estimate.steps_per_epoch) == (12, 6)
    assert estimate.step_s > 0
