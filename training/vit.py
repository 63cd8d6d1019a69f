"""A Vision Transformer whose forward can also return what the CLS token attends to in each layer.

Pre-norm ViT (arXiv:2010.11929) with 2-D sin-cos position embeddings as in MoCo v3 (arXiv:2104.02057), or with the
rotary positions of DINOv3 (arXiv:2508.10104), and with register tokens (arXiv:2309.16588) where wanted, so that
published weights fit. Parameter names follow timm's. Any image and patch size that divide; pictures of another side
than the network's own get positions made for their grid.

Not covered: layer scale as parameters of their own (`initial_weights` folds them into the projections, which is the
same function), gated MLPs, dropout. The CLS rows are computed beside the attention from one query, because the fused
kernel does not return its weights and the full T x T matrix is never needed.
"""

# B batch, H heads, L layers, P patches, R registers, T tokens (CLS + R + P), D width, E width of one head.

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.positions import Rotation, resize_positions, rotary_positions, sincos_positions

# name: (width, depth, heads). "tiny", "small" and "base" are the usual ones; "nano" is for a CPU and few pictures.
ENCODERS: dict[str, tuple[int, int, int]] = {
    "nano": (192, 6, 3),
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
}


@dataclass(frozen=True)
class Features:
    """What a ViT makes of a batch of pictures.

    Attributes:
        cls_BD: CLS token after the last norm, shape (B, D).
        patches_BPD: patch tokens after the last norm, shape (B, P, D); shape (B, 0, D) if only CLS was asked for.
        cls_attention_LBP: head-averaged attention of CLS to each patch in each layer, float32, each row over CLS
            and patches sums to 1 before CLS itself is dropped. Shape (L, B, P); None unless asked for.
    """

    cls_BD: Tensor
    patches_BPD: Tensor
    cls_attention_LBP: Tensor | None


def attend(q_BHTE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor, scale: float) -> Tensor:
    """Softmax(q k^T * scale) v, shape (B, H, T, E).

    The fused kernel, except in bf16 on a CPU: there its backward takes 7 times (T = 65) to 2.3 times (T = 197) as long
    as two matrix products and a softmax.
    """
    if q_BHTE.device.type == "cpu" and q_BHTE.dtype == torch.bfloat16:
        return ((q_BHTE * scale) @ k_BHTE.transpose(-2, -1)).softmax(dim=-1) @ v_BHTE
    return functional.scaled_dot_product_attention(q_BHTE, k_BHTE, v_BHTE, scale=scale)


class Attention(nn.Module):
    """Multi-head self-attention that can also give the head-averaged attention row of the CLS token."""

    def __init__(self, width: int, num_heads: int, num_prefix: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.num_prefix = num_prefix  # CLS and registers: no patches, so they have no position to rotate by
        self.scale = (width // num_heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self, x_BTD: Tensor, rotation: Rotation | None, *, with_cls_row: bool, cls_only: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return the mixed tokens (B, T, D) and, if asked, the CLS row over the patches (B, P) in float32.

        With `cls_only` the CLS token alone asks, and the mixed tokens are (B, 1, D).
        """
        if cls_only:
            D = x_BTD.shape[-1]
            weights, biases = self.qkv.weight.split([D, 2 * D]), self.qkv.bias.split([D, 2 * D])
            (q_BHTE,) = self._heads(functional.linear(x_BTD[:, :1], weights[0], biases[0]), 1)
            k_BHTE, v_BHTE = self._heads(functional.linear(x_BTD, weights[1], biases[1]), 2)
        else:
            q_BHTE, k_BHTE, v_BHTE = self._heads(self.qkv(x_BTD), 3)
        if rotation is not None:
            q_BHTE = q_BHTE if cls_only else rotation.apply(q_BHTE, self.num_prefix)
            k_BHTE = rotation.apply(k_BHTE, self.num_prefix)
        mixed = attend(q_BHTE, k_BHTE, v_BHTE, self.scale)
        out_BTD = self.proj(mixed.transpose(1, 2).flatten(2))
        if not with_cls_row:
            return out_BTD, None
        # One query against all keys: the CLS row of the attention matrix, without the matrix.
        logits_BH1T = (q_BHTE[:, :, :1] * self.scale) @ k_BHTE.transpose(-2, -1)
        row_BHT = logits_BH1T.squeeze(2).float().softmax(dim=-1)
        return out_BTD, row_BHT.mean(dim=1)[:, self.num_prefix :]

    def _heads(self, projected_BTD: Tensor, num: int) -> tuple[Tensor, ...]:
        """Split `num` projections that lie side by side into heads, each shape (B, H, T, E)."""
        B, T, _ = projected_BTD.shape
        return projected_BTD.reshape(B, T, num, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


class Mlp(nn.Module):
    """The two-layer perceptron of a block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Map tokens (B, T, D) to tokens (B, T, D)."""
        return self.fc2(functional.gelu(self.fc1(x_BTD)))


class Block(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, width: int, num_heads: int, num_prefix: int, norm_eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.attn = Attention(width, num_heads, num_prefix)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.mlp = Mlp(width)

    def forward(
        self, x_BTD: Tensor, rotation: Rotation | None, *, with_cls_row: bool, cls_only: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return the tokens after the layer and, if asked, the CLS row of its attention.

        With `cls_only` only the CLS token is computed, shape (B, 1, D): what the last layer is for when nobody looks
        at the patches. It is the same function of the input at a sixth of the layer's cost.
        """
        mixed_BTD, row_BP = self.attn(self.norm1(x_BTD), rotation, with_cls_row=with_cls_row, cls_only=cls_only)
        x_BTD = (x_BTD[:, :1] if cls_only else x_BTD) + mixed_BTD
        return x_BTD + self.mlp(self.norm2(x_BTD)), row_BP


class PatchEmbed(nn.Module):
    """Cut the picture into patches and project each to the width of the encoder."""

    def __init__(self, patch_size: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, pixels_B3SS: Tensor) -> Tensor:
        """Map pictures (B, 3, S, S) to patch embeddings (B, P, D), row by row."""
        embeddings: Tensor = self.proj(pixels_B3SS)
        return embeddings.flatten(2).transpose(1, 2)


class ConvStem(nn.Module):
    """Patches from a pyramid of strided 3 x 3 convolutions (arXiv:2106.14881), which learns faster on few pictures.

    Each halves the side, so the patch size is a power of two. A token still stands for one patch, though it also sees
    a few pixels around it.
    """

    def __init__(self, patch_size: int, width: int) -> None:
        super().__init__()
        num_halvings = patch_size.bit_length() - 1
        layers: list[nn.Module] = []
        channels = 3
        for number in range(num_halvings):
            out = max(24, width >> (num_halvings - 1 - number))
            layers += [
                nn.Conv2d(channels, out, kernel_size=3, stride=2, padding=1),
                nn.GroupNorm(1, out),
                nn.GELU(),
            ]
            channels = out
        self.layers = nn.Sequential(*layers)
        self.proj = nn.Conv2d(channels, width, kernel_size=1)

    def forward(self, pixels_B3SS: Tensor) -> Tensor:
        """Map pictures (B, 3, S, S) to patch embeddings (B, P, D), row by row."""
        embeddings: Tensor = self.proj(self.layers(pixels_B3SS))
        return embeddings.flatten(2).transpose(1, 2)


POSITIONS = ("sincos", "rope")
STEMS: dict[str, type[PatchEmbed] | type[ConvStem]] = {"patch": PatchEmbed, "conv": ConvStem}


class VisionTransformer(nn.Module):
    """The base encoder.

    Args:
        image_size: side of the square input in pixels, a multiple of `patch_size`.
        patch_size: side of a patch in pixels.
        width: of a token, a multiple of 4 and of `num_heads`.
        depth: number of layers.
        num_heads: attention heads a layer.
        stem: "patch", one projection a patch; or "conv", for patch sizes that are powers of two.
        positions: "sincos", embeddings added to the tokens and trained on; or "rope", a rotation in every layer.
        num_registers: extra tokens that are neither CLS nor patch.
    """

    rotary_cos: Tensor
    rotary_sin: Tensor

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        width: int,
        depth: int,
        num_heads: int,
        stem: str = "patch",
        positions: str = "sincos",
        num_registers: int = 0,
    ) -> None:
        super().__init__()
        if image_size % patch_size or width % num_heads or width % 4:
            raise ValueError(
                f"image_size {image_size} must be a multiple of patch_size {patch_size}, "
                f"and width {width} of 4 and of num_heads {num_heads}"
            )
        self.image_size, self.patch_size, self.width, self.num_heads = image_size, patch_size, width, num_heads
        self.stem = stem
        self.grid_size = image_size // patch_size
        self.patch_embed = STEMS[stem](patch_size, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.num_registers = num_registers
        norm_eps = 1e-6
        if positions == "rope":
            norm_eps = 1e-5  # DINOv3's
            rotation = rotary_positions(self.grid_size, width // num_heads)
            self.register_buffer("rotary_cos", rotation.cos, persistent=False)
            self.register_buffer("rotary_sin", rotation.sin, persistent=False)
        else:
            self.pos_embed = nn.Parameter(sincos_positions(self.grid_size, width))
        self.positions = positions
        self.blocks = nn.ModuleList(Block(width, num_heads, 1 + num_registers, norm_eps) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.apply(_init_weights)
        nn.init.normal_(self.cls_token, std=0.02)
        if num_registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, num_registers, width))
            nn.init.normal_(self.register_tokens, std=0.02)

    @property
    def num_patches(self) -> int:
        """Patches of one picture of the network's own size."""
        return self.grid_size**2

    def grid_size_for(self, pixels_B3SS: Tensor) -> int:
        """Patches on one side of these pictures.

        Raises:
            ValueError: they are no squares whose side is a multiple of the patch size.
        """
        height, width = pixels_B3SS.shape[-2:]
        if height != width or height % self.patch_size:
            raise ValueError(
                f"pictures are {height} x {width} pixels, expected squares whose side is a multiple of the patch size "
                f"{self.patch_size}"
            )
        return height // self.patch_size

    def forward(
        self,
        pixels_B3SS: Tensor,
        *,
        with_attention: bool = False,
        kept_BK: Tensor | None = None,
        cls_only: bool = False,
    ) -> Features:
        """Encode normalised pictures.

        Args:
            pixels_B3SS: normalised pictures, float, shape (B, 3, S, S), S any multiple of the patch size.
            with_attention: also return each layer's CLS row.
            kept_BK: indices of the patches to encode, int64, shape (B, K); all of them if None.
            cls_only: leave the patches out of the last layer, which then costs a sixth. For losses on CLS.

        Returns:
            The features; `patches_BPD` holds only the kept patches, in the order of `kept_BK`.
        """
        x_BTD, rotation = self.embed_tokens(pixels_B3SS, kept_BK)
        rows = []
        for number, block in enumerate(self.blocks, start=1):
            is_cls_enough = cls_only and number == len(self.blocks)
            x_BTD, row_BP = block(x_BTD, rotation, with_cls_row=with_attention, cls_only=is_cls_enough)
            rows.append(row_BP)
        x_BTD = self.norm(x_BTD)
        patches_BPD = x_BTD[:, 1 + self.num_registers :]
        return Features(x_BTD[:, 0], patches_BPD, torch.stack(rows) if with_attention else None)

    def embed_tokens(self, pixels_B3SS: Tensor, kept_BK: Tensor | None = None) -> tuple[Tensor, Rotation | None]:
        """The tokens (B, T, D) that enter the first layer, and the rotation of their patches."""
        grid_size = self.grid_size_for(pixels_B3SS)
        patches_BPD = self.patch_embed(pixels_B3SS)
        first: Tensor = self.cls_token
        rotation = None
        if self.positions == "rope":
            rotation = self._rotation(grid_size)
        else:
            positions_1TD = resize_positions(self.pos_embed, grid_size)
            patches_BPD = patches_BPD + positions_1TD[:, 1:]
            first = first + positions_1TD[:, :1]
        if kept_BK is not None:
            patches_BPD = patches_BPD.gather(1, kept_BK[:, :, None].expand(-1, -1, self.width))
            rotation = rotation.keep(kept_BK) if rotation is not None else None
        if self.num_registers:
            first = torch.cat([first, self.register_tokens], dim=1)
        return torch.cat([first.expand(patches_BPD.shape[0], -1, -1), patches_BPD], dim=1), rotation

    def _rotation(self, grid_size: int) -> Rotation:
        if grid_size == self.grid_size:
            return Rotation(self.rotary_cos, self.rotary_sin)
        return rotary_positions(grid_size, self.width // self.num_heads, self.rotary_cos.device)


def _init_weights(module: nn.Module) -> None:
    """Xavier-uniform projections with zero biases, q, k and v each as a matrix of their own (as MoCo v3 does)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_in = module.weight[0].numel()
        bound = (6 / (fan_in + module.out_channels)) ** 0.5
        nn.init.uniform_(module.weight, -bound, bound)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, Attention):
        width = module.qkv.in_features
        bound = (6 / (2 * width)) ** 0.5
        nn.init.uniform_(module.qkv.weight, -bound, bound)


def build_vit(
    encoder: str,
    *,
    image_size: int,
    patch_size: int,
    stem: str = "patch",
    num_heads: int = 0,
    positions: str = "sincos",
    num_registers: int = 0,
) -> VisionTransformer:
    """Build one of the named `ENCODERS`, with as many heads as its name says unless `num_heads` says otherwise."""
    width, depth, usual_heads = ENCODERS[encoder]
    return VisionTransformer(
        image_size=image_size,
        patch_size=patch_size,
        width=width,
        depth=depth,
        num_heads=num_heads or usual_heads,
        stem=stem,
        positions=positions,
        num_registers=num_registers,
    )
