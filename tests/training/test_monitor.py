"""Spread and effective rank by hand, what counts as collapse, and measuring that changes nothing."""

import contextlib
import copy
import math

import pytest
import torch
from pictures import write_picture_folder

from encoder.errors import TrainingError
from encoder.retrieval_metrics import leave_one_out
from training.augmentation import centre_views, normalise
from training.checkpoint import build_model
from training.layouts import list_split
from training.monitor import LEAST_JUDGED, LEAST_RANK, Monitor, Spread, measure_spread, require_no_collapse
from training.pictures import open_picture_store
from training.recipe import Recipe


def test_orthogonal_directions_by_hand():
    """n unit vectors at right angles: each is sqrt(1 - 1/n) from the mean, and n - 1 directions are equally strong."""
    found = measure_spread(torch.eye(5) * 7)
    assert found.spread == pytest.approx(math.sqrt(1 - 1 / 5))
    assert found.rank == pytest.approx(4)


def test_two_unequal_directions_by_hand():
    """Along x: +-0.8 twice, along y: +-0.6; all of length 1. Singular values in the ratio 0.8 : 0.6."""
    found = measure_spread(torch.tensor([[0.8, 0.6], [-0.8, 0.6], [0.8, -0.6], [-0.8, -0.6]]))
    shares = (0.8 / 1.4, 0.6 / 1.4)
    assert found.spread == pytest.approx(1.0)
    assert found.rank == pytest.approx(math.exp(-sum(share * math.log(share) for share in shares)))


def test_equal_embeddings_are_collapsed_whatever_rounding_leaves():
    noise = 1e-9 * torch.randn(50, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = measure_spread(torch.ones(50, 8) + noise)
    assert found.spread < 1e-6
    assert found.rank == 1.0


def test_embeddings_on_a_line_are_collapsed_in_rank():
    line = torch.tensor([[1.0, 0.0]]) + torch.linspace(-0.2, 0.2, 40)[:, None] * torch.tensor([[0.0, 1.0]])
    assert measure_spread(line).rank < LEAST_RANK
    with pytest.raises(TrainingError, match="collapsed in epoch 7"):
        require_no_collapse(measure_spread(line), epoch=7)


def test_what_is_healthy_goes_on():
    require_no_collapse(Spread(0.3, 12.0, 256), epoch=1)
    for collapsed in (Spread(0.009, 12.0, 256), Spread(0.3, 1.4, 256)):
        with pytest.raises(TrainingError, match="lower --lr, lengthen --warmup"):
            require_no_collapse(collapsed, epoch=1)


def test_few_pictures_are_judged_by_their_spread_alone():
    """n pictures leave n - 1 directions: of two the rank is always 1, however far apart they are."""
    two = measure_spread(torch.eye(2))
    assert (two.rank, two.num_pictures) == (pytest.approx(1.0), 2)
    require_no_collapse(two, epoch=1)
    with pytest.raises(TrainingError, match="collapsed"):
        require_no_collapse(measure_spread(torch.ones(2, 8)), epoch=1)
    for num, is_refused in ((LEAST_JUDGED - 1, False), (LEAST_JUDGED, True)):
        with pytest.raises(TrainingError) if is_refused else contextlib.nullcontext():
            require_no_collapse(Spread(0.3, 1.4, num), epoch=1)


@pytest.fixture
def feature(request):
    return getattr(request, "param", "cls")


@pytest.fixture
def monitor(tmp_path, feature):
    photos = write_picture_folder(tmp_path / "photos", per_label=5)
    listing = list_split(photos, "folder", "train", labelled=True)
    store = open_picture_store(listing, photos, tmp_path / "cache", 32)
    recipe = Recipe(encoder="nano", image_size=32, patch_size=8, hidden_dim=32, projection_dim=16)
    labels = [path.split("/")[0] for path in store.paths]
    return Monitor(build_model(recipe).train(), store, (store, labels), feature, 32, torch.device("cpu"))


def test_held_out_retrieval_is_that_of_the_backbone_on_the_middle_of_each_picture(monitor):
    pixels = torch.from_numpy(monitor.store.pixels_NQQ3.copy()).permute(0, 3, 1, 2).float() / 255
    views = normalise(centre_views(pixels, torch.from_numpy(monitor.store.aspect_N), 32))
    with torch.no_grad():
        cls = monitor.model.base.backbone(views).cls_BD.numpy()
    expected = leave_one_out(cls, monitor.held_out[1])
    assert monitor.retrieval() == expected


@pytest.mark.parametrize("feature", ["mean", "predictor", "cls+projector"], indirect=True)
def test_held_out_retrieval_is_by_the_feature_that_export_gives(monitor, feature):
    pixels = torch.from_numpy(monitor.store.pixels_NQQ3.copy()).permute(0, 3, 1, 2).float() / 255
    views = normalise(centre_views(pixels, torch.from_numpy(monitor.store.aspect_N), 32))
    model = copy.deepcopy(monitor.model).eval()
    with torch.no_grad():
        features = model.base.backbone(views)
        projected = model.base.projector(features.cls_BD)
        parts = {
            "cls": features.cls_BD, "mean": features.patches_BPD.mean(dim=1), "projector": projected,
            "predictor": model.predictor(projected),
        }  # fmt: skip
        units = [parts[name] / parts[name].norm(dim=1, keepdim=True) for name in feature.split("+")]
    found, expected = monitor.retrieval(), leave_one_out(torch.cat(units, dim=1).numpy(), monitor.held_out[1])
    assert found.mean_average_precision == pytest.approx(expected.mean_average_precision, abs=1e-3)
    assert monitor.retrieval() == found
    assert all(module.training for module in monitor.model.modules())


def test_measuring_changes_nothing(monitor):
    before = {name: value.clone() for name, value in monitor.model.state_dict().items()}
    state = torch.get_rng_state()
    spread, picture = monitor.spread(), monitor.mask_picture()
    monitor.retrieval()
    assert torch.equal(torch.get_rng_state(), state)
    assert monitor.model.training
    after = monitor.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (monitor.spread(), monitor.mask_picture().tolist()) == (spread, picture.tolist())


def test_the_sheet_shows_the_pivotal_patches_of_the_momentum_encoder(monitor):
    """15 pictures, 8 in a row, each above its mask; int(0.3 x 16) = 4 of 16 patches stay bright."""
    sheet = monitor.mask_picture()
    assert sheet.shape == (2 * (2 * 32 + 2 * 4), 8 * (32 + 4), 3)
    for column in range(8):
        left = column * 36
        picture, masked = sheet[:32, left : left + 32], sheet[32:64, left : left + 32]
        same = (picture == masked).reshape(4, 8, 4, 8, 3).all(axis=(1, 3, 4))
        assert same.sum() == 4
