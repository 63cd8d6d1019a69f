"""One LoDisc step against the paper written plainly: who sees what, who gets a gradient, what moves when."""

import copy

import pytest
import torch

from training.losses import info_nce
from training.model import LOCAL_BRANCHES, LoDisc, build_mlp
from training.pivotal import fuse_attention, pivotal_mask, zero_masked
from training.positions import resize_positions
from training.vit import VisionTransformer


def make_model(local="zero", **options):
    torch.manual_seed(0)
    backbone = VisionTransformer(image_size=24, patch_size=4, width=16, depth=2, num_heads=2)
    return LoDisc(backbone, local=local, keep_ratio=0.3, temperature=0.2, hidden_dim=32, projection_dim=8, **options)


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(6, 3, 24, 24, generator=generator), torch.randn(6, 3, 24, 24, generator=generator)


def contrast(query, key):
    return info_nce(query, key, 0.2)


def plain_step(model, view1, view2, momentum):
    """The paper's algorithm, one view at a time, on a copy."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for mom, base in zip(model.momentum.parameters(), model.base.parameters(), strict=True):
            mom.copy_(momentum * mom + (1 - momentum) * base)

    def query(view):
        return model.predictor(model.base.projector(model.base.backbone(view).cls_BD))

    @torch.no_grad()
    def keys(view):
        features = model.momentum.backbone(view, with_attention=True)
        scores = fuse_attention(features.cls_attention_LBP)
        masked = zero_masked(view, pivotal_mask(scores, 0.3))
        return (
            model.momentum.projector(features.cls_BD),
            model.momentum.projector(model.momentum.backbone(masked).cls_BD),
        )

    q1, q2, (k1, km1), (k2, km2) = query(view1), query(view2), keys(view1), keys(view2)
    global_loss = info_nce(q1, k2, 0.2) + info_nce(q2, k1, 0.2)
    return global_loss, info_nce(q1, km2, 0.2) + info_nce(q2, km1, 0.2)


def test_losses_are_the_papers(views):
    model = make_model()
    expected_global, expected_local = plain_step(model, *views, momentum=0.9)
    losses = model(*views, 0.9, torch.Generator())
    torch.testing.assert_close(losses.global_branch, expected_global, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses.local_branch, expected_local, rtol=1e-4, atol=1e-5)
    assert torch.equal(losses.total, losses.global_branch + losses.local_branch)


def test_gradient_reaches_the_base_encoder_and_nothing_of_the_momentum_encoder(views):
    model = make_model()
    model(*views, 0.9, torch.Generator()).total.backward()
    assert all(p.grad is None for p in model.momentum.parameters())
    assert all(p.grad is not None for p in model.predictor.parameters())
    without = {name for name, p in model.base.named_parameters() if p.grad is None}
    assert without == set()


def test_momentum_encoder_moves_once_and_before_the_keys(views):
    model = make_model()
    with torch.no_grad():
        for parameter in model.base.parameters():
            parameter.add_(0.01)
    before = [p.clone() for p in model.momentum.parameters()]
    base = [p.clone() for p in model.base.parameters()]
    model(*views, 0.75, torch.Generator())
    for old, target, new in zip(before, base, model.momentum.parameters(), strict=True):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * target)


@pytest.mark.parametrize("local", LOCAL_BRANCHES)
def test_every_local_branch_trains(local, views):
    losses = make_model(local)(*views, 0.9, torch.Generator().manual_seed(0))
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert (float(losses.local_branch.detach()) == 0.0) == (local == "none")


def test_global_branch_is_the_same_whatever_the_local_branch(views):
    results = {local: make_model(local)(*views, 0.9, torch.Generator()).global_branch for local in LOCAL_BRANCHES}
    assert all(torch.equal(loss, results["none"]) for loss in results.values())


def test_random_mask_depends_on_the_generator_alone(views):
    def run(seed):
        return make_model("random")(*views, 0.9, torch.Generator().manual_seed(seed)).local_branch

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_heads_are_moco_v3s():
    kinds = [type(layer).__name__ for layer in build_mlp(3, 8, 32, 4)]
    assert kinds == [
        "Linear",
        "SyncBatchNorm1d",
        "ReLU",
        "Linear",
        "SyncBatchNorm1d",
        "ReLU",
        "Linear",
        "SyncBatchNorm1d",
    ]
    last = build_mlp(2, 8, 32, 4)[-1]
    assert not last.affine


def test_the_published_codes_momentum_updates(views):
    """Keys from the first state, masks from the second, local keys from the third; a fourth after the losses."""
    model = make_model(momentum_updates=4)
    with torch.no_grad():
        for number, parameter in enumerate(model.base.parameters()):
            parameter.add_(0.02 * (number % 3 - 1))
    plain = copy.deepcopy(model)
    losses = model(*views, 0.9, torch.Generator())

    def move():
        with torch.no_grad():
            for mom, base in zip(plain.momentum.parameters(), plain.base.parameters(), strict=True):
                mom.copy_(0.9 * mom + 0.1 * base)

    @torch.no_grad()
    def keys(pictures):
        return [plain.momentum.projector(plain.momentum.backbone(view).cls_BD) for view in pictures]

    q1, q2 = (plain.predictor(plain.base.projector(plain.base.backbone(view).cls_BD)) for view in views)
    move()
    k1, k2 = keys(views)
    move()
    with torch.no_grad():
        attention = [plain.momentum.backbone(view, with_attention=True).cls_attention_LBP for view in views]
    masked = [
        zero_masked(view, pivotal_mask(fuse_attention(rows), 0.3)) for view, rows in zip(views, attention, strict=True)
    ]
    move()
    km1, km2 = keys(masked)
    move()
    torch.testing.assert_close(
        losses.global_branch, info_nce(q1, k2, 0.2) + info_nce(q2, k1, 0.2), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        losses.local_branch, info_nce(q1, km2, 0.2) + info_nce(q2, km1, 0.2), rtol=1e-4, atol=1e-5
    )
    for name, value in plain.momentum.named_parameters():
        torch.testing.assert_close(model.momentum.get_parameter(name), value, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("num_updates", [1, 2, 3, 5])
@pytest.mark.parametrize("local", LOCAL_BRANCHES)
def test_the_momentum_encoder_moves_as_often_whatever_the_local_branch(views, local, num_updates):
    """n moves by m towards a base encoder that stands still are one by m ** n."""
    model = make_model(local, momentum_updates=num_updates)
    with torch.no_grad():
        for number, parameter in enumerate(model.base.parameters()):
            parameter.add_(0.02 * (number % 3 - 1))
    plain = moved_copy(model, 0.9**num_updates)
    model(*views, 0.9, torch.Generator().manual_seed(0))
    for name, value in plain.momentum.named_parameters():
        torch.testing.assert_close(model.momentum.get_parameter(name), value, rtol=1e-5, atol=1e-6, msg=name)


def test_without_a_projector_the_keys_are_the_raw_cls_features(views):
    model = make_model("none", projector="none")
    assert model.momentum.projector(torch.ones(2, 16)).equal(torch.ones(2, 16))
    plain = copy.deepcopy(model)
    with torch.no_grad():
        for mom, base in zip(plain.momentum.parameters(), plain.base.parameters(), strict=True):
            mom.copy_(0.9 * mom + 0.1 * base)
        k1, k2 = (plain.momentum.backbone(view).cls_BD for view in views)
    q1, q2 = (plain.predictor(plain.base.backbone(view).cls_BD) for view in views)
    losses = model(*views, 0.9, torch.Generator())
    torch.testing.assert_close(
        losses.global_branch, info_nce(q1, k2, 0.2) + info_nce(q2, k1, 0.2), rtol=1e-4, atol=1e-5
    )


def test_dropout_is_the_predictors_and_only_in_training(views):
    model = make_model("none", predictor_dropout=0.5)
    z = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(model.predictor(z), model.predictor(z))
    model.eval()
    assert torch.equal(model.predictor(z), model.predictor(z))
    assert not any(isinstance(layer, torch.nn.Dropout) for layer in model.base.modules())


def moved_copy(model, momentum=0.9):
    """The model after its momentum encoder has moved once, as in a step."""
    plain = copy.deepcopy(model)
    with torch.no_grad():
        for mom, base in zip(plain.momentum.parameters(), plain.base.parameters(), strict=True):
            mom.copy_(momentum * mom + (1 - momentum) * base)
    return plain


def plain_keys(model, view, keep_ratio=0.3):
    with torch.no_grad():
        features = model.momentum.backbone(view, with_attention=True)
        masked = zero_masked(view, pivotal_mask(fuse_attention(features.cls_attention_LBP), keep_ratio))
        return [model.momentum.projector(model.momentum.backbone(seen).cls_BD) for seen in (view, masked)]


def query_of(model, view):
    return model.predictor(model.base.projector(model.base.backbone(view).cls_BD))


@pytest.mark.parametrize("num_small", [1, 3])
@pytest.mark.parametrize("local", ["zero", "none"])
def test_small_crops_are_further_queries_to_the_keys_of_both_views(views, local, num_small):
    """The mean over all pairs of a query and a key of another crop, times two: the formula of training/model.py."""
    model = make_model(local)
    plain = moved_copy(model)
    small = torch.randn(num_small, 6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    losses = model(*views, 0.9, torch.Generator(), small_MB3SS=small)
    queries = [query_of(plain, crop) for crop in (*views, *small)]
    keys = [plain_keys(plain, view) for view in views]
    expected = []
    for branch in (0, 1):
        pairs = [contrast(query, keys[j][branch]) for j in range(2) for i, query in enumerate(queries) if i != j]
        expected.append(2 * sum(pairs) / len(pairs))
    torch.testing.assert_close(losses.global_branch, expected[0], rtol=1e-4, atol=1e-5)
    wanted = torch.zeros(()) if local == "none" else expected[1]
    torch.testing.assert_close(losses.local_branch, wanted, rtol=1e-4, atol=1e-5)


def test_small_crops_never_reach_the_momentum_encoder_nor_the_statistics_of_the_heads(views, monkeypatch):
    without, model = make_model(), make_model()
    without(*views, 0.9, torch.Generator())
    seen = []
    model.momentum.backbone.register_forward_pre_hook(lambda _module, args: seen.append(args[0].shape[-1]))
    losses = model(*views, 0.9, torch.Generator(), small_MB3SS=torch.randn(2, 6, 3, 8, 8))
    losses.total.backward()
    assert set(seen) == {24}
    for name, value in without.state_dict().items():
        if "num_batches" not in name:
            torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=0, msg=name)
    assert all(layer.momentum == 0.1 for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm1d))


@pytest.mark.parametrize("local", ["zero", "drop", "random"])
def test_smaller_views_and_another_share_of_kept_patches(views, local):
    """As a model whose own size and share these are (the positions being interpolated beforehand)."""
    small_views = [view[:, :, :16, :16] for view in views]
    model = make_model(local)
    twin = make_model(local)
    twin.keep_ratio = 0.6
    with torch.no_grad():
        for encoder in (twin.base, twin.momentum):
            backbone = encoder.backbone
            backbone.pos_embed = torch.nn.Parameter(resize_positions(backbone.pos_embed.data, 4))
            backbone.image_size, backbone.grid_size = 16, 4
    found = model(*small_views, 0.9, torch.Generator().manual_seed(3), keep_ratio=0.6)
    expected = twin(*small_views, 0.9, torch.Generator().manual_seed(3))
    torch.testing.assert_close(found.total, expected.total, rtol=1e-5, atol=1e-6)
    other = make_model(local)(*small_views, 0.9, torch.Generator().manual_seed(3))
    assert not torch.equal(other.local_branch, found.local_branch)


def test_views_of_one_picture_are_no_negatives_of_each_other(views):
    """Six rows of three pictures: each query has its own key and the four of the other pictures."""
    model = make_model("none", repeats=2)
    plain = moved_copy(model)
    found = model(*views, 0.9, torch.Generator()).global_branch
    keys = [plain_keys(plain, view)[0] for view in views]
    terms = []
    for query, key in ((query_of(plain, views[0]), keys[1]), (query_of(plain, views[1]), keys[0])):
        for row in range(6):
            rows = [row, *(other for other in range(6) if other // 2 != row // 2)]
            terms.append(info_nce(query[row : row + 1], key[rows], 0.2))
    torch.testing.assert_close(found, 2 * torch.stack(terms).mean(), rtol=1e-4, atol=1e-5)
