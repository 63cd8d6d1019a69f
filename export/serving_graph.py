"""A trained encoder as the computation that servers run: the same function as `EmbeddingModel`, with less work.

What differs:

- The embedding goes its own way through the last layer, of CLS alone, a sixth of that layer; so a graph of which only
  the embedding is kept (`onnx_graph.keep_outputs`) computes nothing for the patches there, and no rows of attention.
- q, k and v are three products side by side, and attention is one operator that takes them as they lie: the
  transpositions between heads and tokens were a tenth of the time on a CPU.
- With pruning, the patches that the first layers attend to least are left out of the others.
"""

# B batch, S side in pixels, P patches, K kept patches, T tokens, H heads, E head width, D width.

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.manifest import Pruning
from training.augmentation import normalise
from training.embedding import EmbeddingModel
from training.feature import feature_weights
from training.pivotal import SMALLEST
from training.positions import Rotation
from training.vit import Attention, Block, Features, VisionTransformer


class ServingGraph(nn.Module):
    """Pixels to embedding and, if asked, patch scores and patch features.

    Args:
        model: the encoder to serve, in eval mode; its weights are used, not copied.
        outputs: what to compute, of `encoder.manifest.OUTPUTS`, "embedding" first.
        fused_attention: use ONNX Runtime's own attention operator, which no other engine knows; otherwise plain
            operators.
        pruning: leave patches out; None keeps all.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        outputs: Sequence[str] = ("embedding",),
        *,
        fused_attention: bool = True,
        pruning: Pruning | None = None,
    ) -> None:
        super().__init__()
        self.model, self.outputs, self.pruning = model, tuple(outputs), pruning
        self.layers = nn.ModuleList(
            ServingAttention(block.attn, fused_attention) for block in model.backbone.blocks if isinstance(block, Block)
        )

    @property
    def backbone(self) -> VisionTransformer:
        """The encoder's ViT."""
        return self.model.backbone

    def forward(self, pixels_BSS3: Tensor) -> tuple[Tensor, ...]:
        """Embed pictures.

        Args:
            pixels_BSS3: RGB, uint8, shape (B, S, S, 3).

        Returns:
            In the order of `outputs`: the embedding, float32, of length 1, (B, D); the patch scores, float32, rows of
            sum 1, (B, P); the patch features after the last norm, float32, (B, P, D). Patches that were left out have
            score 0 and features 0.
        """
        vit = self.backbone
        x_BTD, rotation = vit.embed_tokens(normalise(pixels_BSS3.permute(0, 3, 1, 2).float() / 255))
        num_prefix = 1 + vit.num_registers
        kept_BK: Tensor | None = None
        scores: Tensor | None = None
        *layers, last = zip(vit.blocks, self.layers, strict=True)
        for number, (block, attention) in enumerate(layers, start=1):
            x_BTD, row_BP = _layer(block, attention, x_BTD, rotation)
            scores = row_BP if scores is None else scores + row_BP
            if self.pruning is not None and number == self.pruning.after_layer:
                num_kept = max(1, round(self.pruning.keep_ratio * vit.num_patches))
                kept_BK = scores.topk(num_kept, dim=1).indices
                patches = x_BTD[:, num_prefix:].gather(1, kept_BK[:, :, None].expand(-1, -1, vit.width))
                x_BTD = torch.cat([x_BTD[:, :num_prefix], patches], dim=1)
                rotation = rotation.keep(kept_BK) if rotation is not None else None
                scores = scores.gather(1, kept_BK)

        cls_B1D, row_BP = _layer(*last, x_BTD, rotation, cls_only=True)
        scores = row_BP if scores is None else scores + row_BP
        all_BTD = _layer(*last, x_BTD, rotation)[0] if self._needs_patches else x_BTD
        features = Features(vit.norm(cls_B1D)[:, 0], vit.norm(all_BTD)[:, num_prefix:], None)
        found = {
            "embedding": self.model.embedding(features),
            "attention": _put_back(scores.softmax(dim=1), kept_BK, vit.num_patches),
            "tokens": _put_back(features.patches_BPD, kept_BK, vit.num_patches),
        }
        return tuple(found[name] for name in self.outputs)

    @property
    def _needs_patches(self) -> bool:
        """Whether the patches of the last layer are an output, or part of the embedding."""
        return "tokens" in self.outputs or "mean" in feature_weights(self.model.feature)


def _layer(
    block: nn.Module,
    attention: nn.Module,
    x_BTD: Tensor,
    rotation: Rotation | None,
    *,
    cls_only: bool = False,
) -> tuple[Tensor, Tensor]:
    """One layer: the tokens after it, of CLS alone or of all, and the log of the CLS row over the patches (B, P)."""
    assert isinstance(block, Block)
    mixed_BTD, row_BP = attention(block.norm1(x_BTD), rotation, cls_only=cls_only)
    x_BTD = (x_BTD[:, :1] if cls_only else x_BTD) + mixed_BTD
    return x_BTD + block.mlp(block.norm2(x_BTD)), row_BP


class ServingAttention(nn.Module):
    """The attention of one layer, with q, k and v apart."""

    def __init__(self, attention: Attention, fused: bool) -> None:
        super().__init__()
        self.num_heads, self.num_prefix = attention.num_heads, attention.num_prefix
        self.scale, self.fused, self.proj = attention.scale, fused, attention.proj
        width = attention.qkv.in_features
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        weights, biases = attention.qkv.weight.detach().split(width), attention.qkv.bias.detach().split(width)
        for linear, weight, bias in zip((self.q, self.k, self.v), weights, biases, strict=True):
            linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x_BTD: Tensor, rotation: Rotation | None, *, cls_only: bool) -> tuple[Tensor, Tensor]:
        """The mixed tokens, of CLS alone or of all, and the log of the CLS row over the patches (B, P)."""
        q, k, v = self.q(x_BTD[:, :1] if cls_only else x_BTD), self.k(x_BTD), self.v(x_BTD)
        if rotation is not None:
            q = q if cls_only else self._rotate(q, rotation)
            k = self._rotate(k, rotation)
        if self.fused:
            attributes: dict[str, Any] = {"num_heads": self.num_heads, "scale": float(self.scale)}
            mixed_BTD = torch.onnx.ops.symbolic(
                "com.microsoft::MultiHeadAttention", (q, k, v), attributes, dtype=q.dtype, shape=q.shape, version=1
            )
        else:
            heads = self._heads(q), self._heads(k), self._heads(v)
            mixed = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], scale=self.scale)
            mixed_BTD = mixed.transpose(1, 2).flatten(2)
        return self.proj(mixed_BTD), self._cls_row(q, k)

    def _cls_row(self, q_BTD: Tensor, k_BTD: Tensor) -> Tensor:
        """Log of what CLS attends to, averaged over heads, patches alone, (B, P)."""
        logits_BH1T = self._heads(q_BTD[:, :1] * self.scale) @ self._heads(k_BTD).transpose(2, 3)
        row_BT = logits_BH1T.softmax(dim=-1).squeeze(2).mean(dim=1)
        return row_BT[:, self.num_prefix :].clamp_min(SMALLEST).log()

    def _heads(self, tokens_BTD: Tensor) -> Tensor:
        """Split into heads, (B, H, T, E)."""
        return tokens_BTD.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def _rotate(self, tokens_BTD: Tensor, rotation: Rotation) -> Tensor:
        """Rotate the patches by their positions, heads side by side as they are."""
        return rotation.apply(self._heads(tokens_BTD), self.num_prefix).transpose(1, 2).flatten(2)


def _put_back(values: Tensor, kept_BK: Tensor | None, num_patches: int) -> Tensor:
    """Values of the kept patches at their places among all, 0 elsewhere; `values` is (B, K) or (B, K, D)."""
    if kept_BK is None:
        return values
    index = kept_BK if values.ndim == 2 else kept_BK[:, :, None].expand(-1, -1, values.shape[2])
    empty = values.new_zeros(values.shape[0], num_patches, *values.shape[2:])
    return empty.scatter(1, index, values)
