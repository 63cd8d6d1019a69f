"""The ViT's CLS rows against full attention matrices, and what its parts promise."""

import math

import pytest
import torch
from torch.nn import functional

from training.positions import resize_positions, sincos_positions
from training.vit import ENCODERS, VisionTransformer, build_vit


@pytest.fixture
def vit():
    torch.manual_seed(0)
    return VisionTransformer(image_size=32, patch_size=8, width=48, depth=3, num_heads=4).eval()


def full_attention_rows(vit, pixels):
    """CLS rows from whole T x T matrices, layer by layer, with none of the module's own attention code."""
    patches = vit.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
    x = torch.cat([vit.cls_token.expand(len(pixels), -1, -1), patches], dim=1) + vit.pos_embed
    rows = []
    for block in vit.blocks:
        h = block.norm1(x)
        width, heads = h.shape[-1], block.attn.num_heads
        q, k, v = (
            h @ w.T + b
            for w, b in zip(block.attn.qkv.weight.split(width), block.attn.qkv.bias.split(width), strict=True)
        )
        outputs, matrices = [], []
        for head in range(heads):
            part = slice(head * width // heads, (head + 1) * width // heads)
            matrix = (q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(width // heads)).softmax(-1)
            matrices.append(matrix)
            outputs.append(matrix @ v[..., part])
        rows.append(torch.stack(matrices).mean(0)[:, 0, 1:])
        x = x + block.attn.proj(torch.cat(outputs, dim=-1))
        x = x + block.mlp(block.norm2(x))
    return torch.stack(rows), vit.norm(x)


def test_cls_rows_and_features_equal_full_attention(vit):
    pixels = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        features = vit(pixels, with_attention=True)
        expected_rows, expected_tokens = full_attention_rows(vit, pixels)
    torch.testing.assert_close(features.cls_attention_LBP, expected_rows, rtol=2e-5, atol=1e-7)
    torch.testing.assert_close(features.cls_BD, expected_tokens[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.patches_BPD, expected_tokens[:, 1:], rtol=1e-4, atol=1e-5)


def test_asking_for_attention_does_not_change_the_features(vit):
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(vit(pixels).cls_BD, vit(pixels, with_attention=True).cls_BD)
        assert vit(pixels).cls_attention_LBP is None


@pytest.mark.parametrize("options", [{}, {"positions": "rope", "num_registers": 2}])
def test_cls_alone_is_the_same_cls_with_the_same_gradient(options):
    torch.manual_seed(0)
    vit = VisionTransformer(image_size=32, patch_size=8, width=48, depth=3, num_heads=4, **options).double()
    pixels, weights = torch.randn(3, 3, 32, 32).double(), torch.randn(48).double()
    found = []
    for cls_only in (False, True):
        vit.zero_grad()
        features = vit(pixels, with_attention=True, cls_only=cls_only)
        (features.cls_BD @ weights).sum().backward()
        gradients = [parameter.grad.clone() for parameter in vit.parameters()]
        found.append([features.cls_BD.detach(), features.cls_attention_LBP.detach(), *gradients])
        assert features.patches_BPD.shape == (3, 0 if cls_only else 16, 48)
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-12)


def test_keeping_every_patch_is_keeping_none_out(vit):
    pixels = torch.randn(2, 3, 32, 32)
    every = torch.arange(16).expand(2, -1)
    with torch.no_grad():
        torch.testing.assert_close(vit(pixels, kept_BK=every).cls_BD, vit(pixels).cls_BD)


def test_dropped_patches_have_no_influence(vit):
    pixels = torch.randn(1, 3, 32, 32)
    changed = pixels.clone()
    changed[:, :, :8, :8] += 5  # patch 0
    kept = torch.arange(1, 16)[None]
    with torch.no_grad():
        assert torch.equal(vit(pixels, kept_BK=kept).cls_BD, vit(changed, kept_BK=kept).cls_BD)


def test_positions_tell_rows_from_columns():
    positions = sincos_positions(3, 8)[0]
    assert torch.equal(positions[0], torch.zeros(8))
    assert torch.equal(positions[1 + 3 * 1 + 2][:4], positions[1 + 3 * 2 + 2][:4])  # same column: first half agrees
    assert torch.equal(positions[1 + 3 * 1 + 0][4:], positions[1 + 3 * 1 + 2][4:])  # same row: second half agrees
    assert len({tuple(row.tolist()) for row in positions[1:]}) == 9


@pytest.mark.parametrize(("name", "millions"), [("tiny", 5.5), ("small", 21.7), ("base", 85.8)])
def test_sizes_are_the_published_ones(name, millions):
    with torch.device("meta"):
        vit = build_vit(name, image_size=224, patch_size=16)
    assert sum(p.numel() for p in vit.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)
    assert name in ENCODERS


POSITIONS = [{}, {"positions": "rope", "num_registers": 2}]


@pytest.mark.parametrize("options", POSITIONS, ids=["sincos", "rope"])
@pytest.mark.parametrize("side", [16, 48])
def test_another_size_is_the_network_of_that_size_with_the_same_weights(options, side):
    """With positions interpolated once beforehand (rotations are made for the grid), it is an ordinary forward."""
    size = {"patch_size": 8, "width": 48, "depth": 2, "num_heads": 4, **options}
    torch.manual_seed(0)
    vit = VisionTransformer(image_size=32, **size).eval()
    other = VisionTransformer(image_size=side, **size).eval()
    state = dict(vit.state_dict())
    if "pos_embed" in state:
        grid = state["pos_embed"][0, 1:].T.reshape(1, 48, 4, 4)
        grid = functional.interpolate(grid, (side // 8, side // 8), mode="bicubic", antialias=True)
        state["pos_embed"] = torch.cat([state["pos_embed"][:, :1], grid.reshape(1, 48, -1).transpose(1, 2)], dim=1)
    other.load_state_dict(state)
    pixels = torch.randn(2, 3, side, side)
    kept = torch.tensor([[0, 3], [1, 2]])
    for kept_BK in (None, kept):
        with torch.no_grad():
            found, expected = (net(pixels, with_attention=True, kept_BK=kept_BK) for net in (vit, other))
        torch.testing.assert_close(found.cls_BD, expected.cls_BD, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.patches_BPD, expected.patches_BPD, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.cls_attention_LBP, expected.cls_attention_LBP, rtol=1e-5, atol=1e-6)


def test_trained_positions_get_their_gradient_from_another_size(vit):
    vit(torch.randn(1, 3, 16, 16)).cls_BD.square().sum().backward()
    assert (vit.pos_embed.grad[0].norm(dim=1) > 0).all()


def test_positions_of_the_own_grid_are_themselves_and_a_constant_stays_one():
    positions = torch.randn(1, 17, 8)
    assert resize_positions(positions, 4) is positions
    positions[:, 1:] = 3.0
    resized = resize_positions(positions, 7)
    assert torch.equal(resized[:, 0], positions[:, 0])
    torch.testing.assert_close(resized[:, 1:], torch.full((1, 49, 8), 3.0))


@pytest.mark.parametrize("shape", [(30, 30), (32, 16)])
def test_pictures_that_are_no_square_of_patches_are_refused(vit, shape):
    with pytest.raises(ValueError, match=f"pictures are {shape[0]} x {shape[1]} pixels, expected squares"):
        vit(torch.randn(1, 3, *shape))


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiple of patch_size"):
        VisionTransformer(image_size=30, patch_size=8, width=48, depth=1, num_heads=4)
