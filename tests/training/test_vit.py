"""The ViT's CLS rows against full attention matrices, and what its parts promise."""

import math

import pytest
import torch

from training.vit import ENCODERS, VisionTransformer, build_vit, sincos_positions


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


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiple of patch_size"):
        VisionTransformer(image_size=30, patch_size=8, width=48, depth=1, num_heads=4)
