"""Location-wise mask sampling: which patches of a view are pivotal (LoDisc, arXiv:2403.04066).

The attention matrices of all layers are fused by element-wise product and the CLS row of the result scores each
patch. Only the CLS rows are needed, since an element-wise product commutes with taking a row. The product is taken
as a sum of logarithms: twelve attention values multiply to as little as 1e-33, which fp16 and nearly fp32 lose.
"""

# L layers, B batch, P patches, K kept patches, S side in pixels.

import torch
from torch import Tensor
from torch.nn import functional

# Attention in float32 can still underflow to 0 in one layer; a zero stays the lowest score, but finite.
SMALLEST = torch.finfo(torch.float32).tiny


def fuse_attention(cls_attention_LBP: Tensor) -> Tensor:
    """Log of the element-wise product over layers of the CLS rows.

    Args:
        cls_attention_LBP: head-averaged attention of CLS to each patch, shape (L, B, P), values in [0, 1].

    Returns:
        Log scores, float32, shape (B, P): the larger, the more pivotal.
    """
    return cls_attention_LBP.float().clamp_min(SMALLEST).log().sum(dim=0)


def num_pivotal(num_patches: int, keep_ratio: float) -> int:
    """The rank whose score is the threshold: int(keep_ratio * P), 58 of 196 at 0.30."""
    return int(keep_ratio * num_patches)


def pivotal_mask(scores_BP: Tensor, keep_ratio: float) -> Tensor:
    """Patches that score strictly above the one at position int(keep_ratio * P) of the descending sort.

    Ties at the threshold are all dropped, as in the paper's rule, so a row may keep fewer than that many.

    Args:
        scores_BP: any increasing function of the fused attention, shape (B, P).
        keep_ratio: in (0, 1).

    Returns:
        True where the patch is kept, bool, shape (B, P).
    """
    rank = num_pivotal(scores_BP.shape[1], keep_ratio)
    threshold_B1 = scores_BP.topk(rank + 1, dim=1).values[:, -1:]
    return scores_BP > threshold_B1


def random_mask(num_pictures: int, num_patches: int, keep_ratio: float, generator: torch.Generator) -> Tensor:
    """The control: as many patches as the pivotal mask keeps, drawn at random. Bool, shape (B, P)."""
    noise_BP = torch.rand(num_pictures, num_patches, generator=generator, device=generator.device)
    return pivotal_mask(noise_BP, keep_ratio)


def kept_patches(scores_BP: Tensor, keep_ratio: float) -> Tensor:
    """Indices of the int(keep_ratio * P) best patches, ascending, int64, shape (B, K), for the token-drop variant."""
    rank = num_pivotal(scores_BP.shape[1], keep_ratio)
    return scores_BP.topk(rank, dim=1).indices.sort(dim=1).values


def zero_masked(pixels_B3SS: Tensor, mask_BP: Tensor) -> Tensor:
    """Set the pixels of every patch that is not kept to 0, which after normalisation is the mean colour.

    Args:
        pixels_B3SS: normalised pictures, shape (B, 3, S, S).
        mask_BP: True where the patch is kept, shape (B, P), P a square number of patches that tile the picture.

    Returns:
        Masked pictures, shape (B, 3, S, S).
    """
    grid_size = round(mask_BP.shape[1] ** 0.5)
    mask_B1GG = mask_BP.reshape(-1, 1, grid_size, grid_size).to(pixels_B3SS.dtype)
    return pixels_B3SS * functional.interpolate(mask_B1GG, size=pixels_B3SS.shape[-2:], mode="nearest")
