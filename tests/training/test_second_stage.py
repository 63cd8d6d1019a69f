"""A run that begins where another ended: what it takes, what begins anew, what is refused."""

from dataclasses import replace

import pytest
import torch
from pictures import write_picture_folder
from safetensors.torch import load_file

from encoder.errors import ConfigError
from training.checkpoint import BEST_NAME, CHECKPOINT_NAME, load_model
from training.initial_weights import start_model
from training.positions import resize_positions
from training.recipe import Recipe
from training.trainer import train

CPU = torch.device("cpu")
FIRST = {
    "encoder": "nano", "image_size": 32, "patch_size": 16, "hidden_dim": 32, "projection_dim": 16, "stem": "conv",
    "epochs": 2, "batch_size": 3, "lr": 1e-3, "holdout": 0.4, "seed": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A finished run; its base and momentum encoder differ."""
    folder = tmp_path_factory.mktemp("first")
    photos = write_picture_folder(folder / "photos", per_label=4)
    train(Recipe(**FIRST), photos, folder / "run", device=CPU, quiet=True)
    return folder


def start(run, **changes):
    return start_model(Recipe(**{**FIRST, "seed": 2, **changes, "init": str(run)}))


@pytest.mark.parametrize("name", ["", CHECKPOINT_NAME, BEST_NAME])
def test_both_encoders_and_the_heads_go_on(first, name):
    source = first / "run" / name
    model, report = start(source)
    ended = load_model(source)[0].state_dict()
    assert any(not torch.equal(ended[key], ended[key.replace("base", "momentum")]) for key in ended if "base" in key)
    assert [key for key, value in model.state_dict().items() if not torch.equal(value, ended[key])] == []
    assert report.loaded == len(ended)
    assert report.lines() == [
        f"initial weights: {len(ended)} tensors of {first / 'run' / (name or CHECKPOINT_NAME)} (lodisc layout)",
        "  continued: both backbones, projector, predictor",
    ]


def test_heads_of_other_shapes_begin_anew_and_the_report_says_so(first):
    ended = load_model(first / "run")[0].state_dict()
    for changes, anew in (
        ({"projection_dim": 8}, ["base.projector", "momentum.projector", "predictor"]),
        ({"projector": "none"}, ["predictor"]),
        ({"predictor_dropout": 0.1}, ["predictor"]),
    ):
        model, report = start(first / "run", **changes)
        fresh = start_model(Recipe(**{**FIRST, "seed": 2, **changes}))[0].state_dict()
        for key, value in model.state_dict().items():
            expected = fresh if key.startswith(tuple(anew)) else ended
            assert torch.equal(value, expected[key]), (changes, key)
        assert len(report.anew) == (1 if anew == ["predictor"] and "projector" not in changes else 2)
        assert "predictor" in report.lines()[-1]


def test_another_image_size_resamples_the_positions_of_both_encoders(first):
    model, report = start(first / "run", image_size=64)
    ended = load_model(first / "run")[0]
    for now, before in ((model.base, ended.base), (model.momentum, ended.momentum)):
        assert torch.equal(now.backbone.pos_embed, resize_positions(before.backbone.pos_embed, 4))
    assert report.resampled == (2, 4)


def test_another_backbone_names_the_flags(first, tmp_path):
    with pytest.raises(
        ConfigError, match="does not fit the recipe: its backbone was trained with --encoder nano --stem"
    ):
        start(first / "run", encoder="tiny", stem="patch")
    with pytest.raises(ConfigError, match="trained with --num-heads 3"):
        start(first / "run", num_heads=6)
    with pytest.raises(ConfigError, match=r"holds no checkpoint.safetensors; give the --out folder"):
        start(tmp_path)


def test_a_second_stage_trains_resumes_bit_for_bit_and_leaves_its_report(first, tmp_path):
    photos = write_picture_folder(tmp_path / "photos", per_label=2)
    recipe = Recipe(**{**FIRST, "init": str(first / "run"), "holdout": 0.0, "epochs": 2, "warmup": 0.0})
    train(recipe, photos, tmp_path / "whole", device=CPU, quiet=True)
    for stop in (1, 4):
        train(recipe, photos, tmp_path / "parts", device=CPU, max_steps=stop, quiet=True)
    one, other = (load_file(tmp_path / run / CHECKPOINT_NAME) for run in ("whole", "parts"))
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert "continued: both backbones" in (tmp_path / "whole" / "initial_weights.txt").read_text()
    before, after = load_model(first / "run")[0].state_dict(), load_model(tmp_path / "whole")[0].state_dict()
    assert not torch.equal(before["base.backbone.cls_token"], after["base.backbone.cls_token"])


def test_residual_scale_is_of_no_effect_is_told_so_and_does_not_part_runs(first, tmp_path, caplog):
    """All blocks are those of the first stage; recipes that differ in nothing else begin and go on alike."""
    init = str(first / "run")
    plain, scaled = start(init)[0].state_dict(), start(init, residual_scale=0.1)[0].state_dict()
    assert all(torch.equal(plain[name], scaled[name]) for name in plain)
    with_scale = Recipe(**{**FIRST, "epochs": 1, "init": init, "residual_scale": 0.1})
    photos, run = first / "photos", tmp_path / "run"
    train(with_scale, photos, run, device=CPU, max_steps=1, quiet=True)
    told = "residual_scale 0.1 is of no effect: every block is taken from there"
    assert told in caplog.text
    assert told in (run / "initial_weights.txt").read_text(encoding="utf-8")
    resumed = train(replace(with_scale, residual_scale=1.0), photos, run, device=CPU, max_steps=2, quiet=True)
    assert resumed.step == 2
    with pytest.raises(ConfigError, match=r"another recipe \(lr .*\)"):
        train(replace(with_scale, lr=1.0), photos, run, device=CPU, quiet=True)
    assert not replace(with_scale, init="").trains_as(replace(with_scale, init="", residual_scale=1.0))
