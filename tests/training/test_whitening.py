"""Whitening: its arithmetic against a naive reference, and that runs learn, keep and export it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import write_picture_folder
from torch.nn import functional

from encoder.bundle import Bundle
from encoder.errors import ConfigError
from encoder.image_encoder import ImageEncoder
from lodisc.cli import main
from training import trainer
from training.checkpoint import build_model, lacks_whitening, load_encoder, load_model, read_state, save_checkpoint
from training.embedders import RunEmbedder, labelled_pictures
from training.embedding import EmbeddingModel, read_pixels, serving_preprocessing
from training.monitor import Monitor
from training.recipe import Recipe
from training.trainer import train
from training.whitening import SHRINKAGE, Whitening


def sample(num: int = 500, dim: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(num, dim, generator=generator) * torch.tensor([3, 1, 1, 0.5, 0.2, 0.1])[:dim] + 4
    return functional.normalize(x, dim=1)


def test_full_whitening_leaves_directions_equally_wide_but_for_the_shrinkage():
    x = sample()
    whitening = Whitening("cls", 6, power=1.0)
    whitening.learn(x)
    y = ((x - whitening.mean_D) @ whitening.matrix_DD).double().numpy()
    covariance = np.cov(y.T, bias=True)
    variance = np.linalg.eigvalsh(np.cov(x.double().numpy().T, bias=True))[::-1]
    shrunk = variance + SHRINKAGE * variance.mean()
    np.testing.assert_allclose(covariance, np.diag(variance / shrunk * shrunk.mean()), atol=1e-6)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-6)


@pytest.mark.parametrize("power", [0.25, 0.5])
def test_a_part_of_it_divides_each_direction_by_its_spread_to_the_power(power):
    x = sample()
    whitening = Whitening("cls", 6, power)
    whitening.learn(x)
    x_np = x.double().numpy()
    variance, directions = np.linalg.eigh(np.cov(x_np.T, bias=True))
    shrunk = variance + SHRINKAGE * variance.mean()
    expected = np.stack([(x_np - x_np.mean(axis=0)) @ directions[:, d] / shrunk[d] ** (power / 2) for d in range(6)], 1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = whitening(x).numpy()
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)  # the cosines are what is asked for


def test_no_power_only_takes_the_mean_away():
    x = sample()
    whitening = Whitening("cls", 6, power=0.0)
    whitening.learn(x)
    centred = functional.normalize(x - x.mean(dim=0), dim=1)
    np.testing.assert_allclose(whitening(x) @ whitening(x).T, centred @ centred.T, atol=1e-5)


def test_fewer_pictures_than_dimensions_and_pictures_all_the_same_stay_finite():
    for x in (sample(3), sample(1).repeat(5, 1)):
        whitening = Whitening("cls", 6, power=1.0)
        whitening.learn(x)
        assert torch.isfinite(whitening(sample(20))).all()


SMALL = Recipe(
    encoder="nano", image_size=32, patch_size=8, hidden_dim=32, projection_dim=16, batch_size=8, epochs=2, lr=1e-3,
    whitening=0.5, crop_min=0.3,
)  # fmt: skip


def test_a_run_learns_it_at_its_end_and_the_embedding_has_it(tmp_path: Path):
    data = write_picture_folder(tmp_path / "data", per_label=6)
    train(SMALL, data, tmp_path / "run", device=torch.device("cpu"), quiet=True)
    model, state = load_encoder(tmp_path / "run")
    embedder = EmbeddingModel.from_lodisc(model, "cls")
    assert embedder.whitening is not None
    assert embedder.description == "cls, whitened to the power 0.5"
    pictures = labelled_pictures(data)
    whitened = RunEmbedder(model, state.recipe, torch.device("cpu"))(pictures)
    plain = RunEmbedder(model, replace(state.recipe, feature="mean"), torch.device("cpu"))(pictures)
    np.testing.assert_allclose(np.linalg.norm(whitened, axis=1), 1, atol=1e-5)
    assert np.linalg.norm(whitened.mean(axis=0)) < 0.5 * np.linalg.norm(plain.mean(axis=0))


@pytest.mark.parametrize(
    ("feature", "dim"), [("cls", 192), ("cls+mean", 384), ("projector", 16), ("predictor+cls", 208)]
)
def test_it_has_the_dimension_of_its_feature(feature, dim):
    recipe = replace(SMALL, feature=feature)
    model = build_model(recipe)
    assert model.whitening is not None
    assert model.whitening.mean_D.shape == (dim,)
    assert EmbeddingModel.from_lodisc(model, feature).embedding_dim == dim


def test_a_run_that_was_killed_before_it_learnt_any_is_refused(tmp_path: Path):
    data = write_picture_folder(tmp_path / "data", per_label=6)
    run = tmp_path / "run"
    train(SMALL, data, run, device=torch.device("cpu"), quiet=True, max_steps=1)
    model, state = load_model(run)
    assert model.whitening is not None
    model.whitening.is_learnt.fill_(False)
    save_checkpoint(run, model, None, state)
    with pytest.raises(ConfigError, match="without a whitening"):
        load_encoder(run)


def test_a_timed_checkpoint_of_the_last_step_does_not_keep_it_from_being_saved(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(trainer, "SAVE_EVERY_S", -1)
    data = write_picture_folder(tmp_path / "data", per_label=6)
    train(SMALL, data, tmp_path / "run", device=torch.device("cpu"), quiet=True)
    model, _ = load_encoder(tmp_path / "run")
    assert model.whitening.is_learnt


def killed(self):
    raise KeyboardInterrupt


def test_a_run_that_was_killed_after_its_last_step_learns_it_when_it_is_started_again(tmp_path: Path, monkeypatch):
    data, run = write_picture_folder(tmp_path / "data", per_label=6), tmp_path / "run"
    train(SMALL, data, tmp_path / "whole", device=torch.device("cpu"), quiet=True)
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "SAVE_EVERY_S", -1)
        patched.setattr(Monitor, "learn_whitening", killed)
        with pytest.raises(KeyboardInterrupt):
            train(SMALL, data, run, device=torch.device("cpu"), quiet=True)
    state = read_state(run)
    assert state.step == state.num_steps
    assert lacks_whitening(run, state)
    train(SMALL, data, run, device=torch.device("cpu"), quiet=True)
    expected, found = (load_encoder(one)[0].whitening for one in (tmp_path / "whole", run))
    torch.testing.assert_close(found.matrix_DD, expected.matrix_DD)


def test_a_checkpoint_never_has_the_whitening_of_other_weights(tmp_path: Path, monkeypatch):
    """Stopped once, so it was learnt; gone on with, and killed after a timed checkpoint."""
    data, run = write_picture_folder(tmp_path / "data", per_label=6), tmp_path / "run"
    train(SMALL, data, run, device=torch.device("cpu"), quiet=True, max_steps=1)
    load_encoder(run)
    monkeypatch.setattr(trainer, "SAVE_EVERY_S", -1)
    monkeypatch.setattr(Monitor, "learn_whitening", killed)
    with pytest.raises(KeyboardInterrupt):
        train(SMALL, data, run, device=torch.device("cpu"), quiet=True, max_steps=2)
    assert load_model(run)[1].step == 2
    with pytest.raises(ConfigError, match="without a whitening"):
        load_encoder(run)


def test_it_is_exported(tmp_path: Path):
    data = write_picture_folder(tmp_path / "data", per_label=6)
    run = tmp_path / "run"
    train(SMALL, data, run, device=torch.device("cpu"), quiet=True)
    assert main(["export", str(run), "--out", str(tmp_path / "bundle")]) == 0
    encoder = ImageEncoder(Bundle.open(tmp_path / "bundle"))
    assert "whitened" in encoder.manifest.feature
    model, _ = load_encoder(run)
    pixels = np.stack([read_pixels(path, serving_preprocessing(32)) for path in labelled_pictures(data).paths])
    with torch.inference_mode():
        expected = EmbeddingModel.from_lodisc(model, "cls")(torch.from_numpy(pixels))[0].numpy()
    np.testing.assert_allclose(encoder.encode(pixels).embedding_BD, expected, atol=1e-4)
