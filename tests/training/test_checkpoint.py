"""Checkpoints: whole, or as they were before, or refused in one line."""

import pytest
import torch
from safetensors.torch import save_file
from torch.optim import AdamW

from encoder.errors import ConfigError, TrainingError
from training.checkpoint import (
    CHECKPOINT_NAME,
    RunState,
    build_model,
    load_model,
    load_optimizer,
    save_checkpoint,
    trained_parameters,
)
from training.recipe import Recipe

RECIPE = Recipe(encoder="nano", image_size=32, patch_size=16, hidden_dim=32, projection_dim=16, batch_size=4)
STATE = RunState(RECIPE, 3, "/data", 12, 4.5)


@pytest.fixture
def trained():
    model = build_model(RECIPE)
    optimizer = AdamW([parameter for _, parameter in trained_parameters(model)], lr=1e-3)
    views = torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        optimizer.zero_grad()
        model(views[0], views[1], 0.9, torch.Generator()).total.backward()
        optimizer.step()
    return model, optimizer


def test_round_trip_bit_for_bit(trained, tmp_path):
    model, optimizer = trained
    save_checkpoint(tmp_path, model, optimizer, STATE)
    loaded, state = load_model(tmp_path)
    assert state == STATE
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    fresh = AdamW([parameter for _, parameter in trained_parameters(loaded)], lr=1e-3)
    load_optimizer(tmp_path, loaded, fresh)
    for (_, old), (_, new) in zip(trained_parameters(model), trained_parameters(loaded), strict=True):
        for key, value in optimizer.state[old].items():
            assert torch.equal(value, fresh.state[new][key])


def test_initial_weights_are_a_function_of_the_seed():
    one, same = build_model(RECIPE).state_dict(), build_model(RECIPE).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert torch.equal(one["base.backbone.cls_token"], one["momentum.backbone.cls_token"])


def test_a_write_that_fails_leaves_the_last_checkpoint(trained, tmp_path, monkeypatch):
    save_checkpoint(tmp_path, *trained, STATE)
    before = (tmp_path / CHECKPOINT_NAME).read_bytes()

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.checkpoint.save_file", full_disk)
    with pytest.raises(TrainingError, match="No space left"):
        save_checkpoint(tmp_path, *trained, STATE)
    assert (tmp_path / CHECKPOINT_NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_NAME]


def test_damaged_foreign_and_missing_files_are_refused(trained, tmp_path):
    path = save_checkpoint(tmp_path, *trained, STATE)
    whole = path.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"PK\x03\x04 a pickle in a zip"):
        path.write_bytes(damage)
        with pytest.raises(ConfigError, match="not a readable checkpoint"):
            load_model(tmp_path)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ConfigError, match="not a checkpoint of `lodisc train`"):
        load_model(tmp_path)
    save_file({"weight": torch.zeros(2)}, path, {"format": "lodisc-checkpoint", "format_version": "99"})
    with pytest.raises(ConfigError, match="format 99.*update lodisc"):
        load_model(tmp_path)
    path.unlink()
    with pytest.raises(ConfigError, match="holds no checkpoint"):
        load_model(tmp_path)


def test_a_checkpoint_of_another_architecture_is_refused_with_what_differs(trained, tmp_path):
    """Its tensors are those of one network, its recipe says another."""
    other = Recipe(**RECIPE.__dict__ | {"patch_size": 8})
    save_checkpoint(tmp_path, *trained, RunState(other, 3, "/data", 12, 4.5))
    with pytest.raises(ConfigError, match="holds another network than its recipe says .*size mismatch"):
        load_model(tmp_path)
    other = Recipe(**RECIPE.__dict__ | {"encoder": "small"})
    save_checkpoint(tmp_path, *trained, RunState(other, 3, "/data", 12, 4.5))
    with pytest.raises(ConfigError, match="holds another network than its recipe says"):
        load_model(tmp_path)


def test_the_file_is_as_readable_as_any_other(trained, tmp_path):
    path = save_checkpoint(tmp_path, *trained, STATE)
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
