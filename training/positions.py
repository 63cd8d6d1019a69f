"""Where a patch is: position embeddings that are added to the tokens, and rotations that turn queries and keys.

Either is made for any square grid, so one network sees pictures of several sizes.
"""

# B batch, H heads, P patches, G patches on one side, K kept patches, T tokens, D width, E width of one head.

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Rotation:
    """Rotary positions: what turns the queries and keys of the patches (DINOv3, arXiv:2508.10104).

    Attributes:
        cos: float32, shape (P, E), or (B, 1, K, E) where each picture keeps its own patches.
        sin: same shape.
    """

    cos: Tensor
    sin: Tensor

    def apply(self, x_BHTE: Tensor, num_prefix: int) -> Tensor:
        """Turn all tokens but the first `num_prefix`."""
        prefix, patches = x_BHTE[:, :, :num_prefix], x_BHTE[:, :, num_prefix:]
        first, second = patches.float().chunk(2, dim=-1)
        turned = patches * self.cos + torch.cat([-second, first], dim=-1) * self.sin
        return torch.cat([prefix, turned.to(x_BHTE.dtype)], dim=2)

    def keep(self, kept_BK: Tensor) -> "Rotation":
        """The positions of the kept patches of each picture."""
        return Rotation(self.cos[kept_BK][:, None], self.sin[kept_BK][:, None])


def rotary_positions(grid_size: int, head_width: int, device: torch.device | None = None) -> Rotation:
    """DINOv3's rotation of each patch of a square grid: centres in [-1, 1], periods from 1 to 100, rows before columns.

    Args:
        grid_size: patches on one side.
        head_width: E, a multiple of 4.
        device: where to make it; the CPU if None.
    """
    period_F = 100.0 ** (torch.arange(head_width // 4, dtype=torch.float32, device=device) / (head_width // 4))
    centre_G = (torch.arange(grid_size, dtype=torch.float32, device=device) + 0.5) / grid_size * 2 - 1
    centre_P2 = torch.stack(torch.meshgrid(centre_G, centre_G, indexing="ij"), dim=-1).flatten(0, 1)
    angle_PE = (2 * math.pi * centre_P2[:, :, None] / period_F).flatten(1).tile(2)
    return Rotation(angle_PE.cos(), angle_PE.sin())


def sincos_positions(grid_size: int, width: int) -> Tensor:
    """2-D sin-cos position embeddings, CLS at the origin with zeros (MoCo v3, arXiv:2104.02057).

    Args:
        grid_size: patches on one side.
        width: of the encoder, a multiple of 4.

    Returns:
        Positions, float32, shape (1, 1 + grid_size**2, width).
    """
    frequency = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    position = torch.arange(grid_size, dtype=torch.float64)
    angle_GF = position[:, None] * frequency[None, :]
    per_axis = torch.cat([angle_GF.sin(), angle_GF.cos()], dim=1)
    columns = per_axis.repeat(grid_size, 1)
    rows = per_axis.repeat_interleave(grid_size, dim=0)
    patches = torch.cat([columns, rows], dim=1)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), patches]).float()[None]


def resize_positions(positions_1TD: Tensor, grid_size: int) -> Tensor:
    """Position embeddings of another grid, by bicubic interpolation with antialiasing (DINOv2 with registers).

    Args:
        positions_1TD: CLS first, then the patches of a square grid row by row, shape (1, 1 + G**2, D).
        grid_size: patches on one side of the wanted grid.

    Returns:
        Positions, shape (1, 1 + grid_size**2, D), the same tensor if the grid is that already; CLS keeps its own.
    """
    own_size = round((positions_1TD.shape[1] - 1) ** 0.5)
    if own_size == grid_size:
        return positions_1TD
    grid_1DGG = positions_1TD[:, 1:].float().reshape(1, own_size, own_size, -1).permute(0, 3, 1, 2)
    grid_1DGG = functional.interpolate(
        grid_1DGG, size=(grid_size, grid_size), mode="bicubic", antialias=True, align_corners=False
    )
    return torch.cat([positions_1TD[:, :1].float(), grid_1DGG.flatten(2).transpose(1, 2)], dim=1)
