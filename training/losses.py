"""The contrastive loss of both branches."""

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(query_BD: Tensor, key_BD: Tensor, temperature: float) -> Tensor:
    """InfoNCE with in-batch negatives, scaled by 2T (MoCo v3, arXiv:2104.02057, Alg. 1, `ctr`).

    The positive of row i is key i; every other key of the batch is a negative.

    Args:
        query_BD: predictor output of one view, float, any norm. Shape (B, D).
        key_BD: momentum projector output of the other view, without gradient. Shape (B, D).
        temperature: softmax temperature T, > 0.

    Returns:
        Scalar loss, float32.
    """
    query_BD = functional.normalize(query_BD.float(), dim=1)
    key_BD = functional.normalize(key_BD.float(), dim=1)
    logits_BB = query_BD @ key_BD.T / temperature
    positive_B = torch.arange(len(query_BD), device=query_BD.device)
    return functional.cross_entropy(logits_BB, positive_B) * (2 * temperature)
