"""The contrastive loss of both branches."""

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(query_BD: Tensor, key_ND: Tensor, temperature: float, first_positive: int = 0) -> Tensor:
    """InfoNCE with in-batch negatives, scaled by 2T (MoCo v3, arXiv:2104.02057, Alg. 1, `ctr`).

    The positive of row i is key `first_positive` + i; every other key is a negative.

    Args:
        query_BD: predictor output of one view, float, any norm. Shape (B, D).
        key_ND: momentum projector output of the other view, of all processes, without gradient. Shape (N, D).
        temperature: softmax temperature T, > 0.
        first_positive: where the keys of this process begin among those of all.

    Returns:
        Scalar loss, float32.
    """
    query_BD = functional.normalize(query_BD.float(), dim=1)
    key_ND = functional.normalize(key_ND.float(), dim=1)
    logits_BN = query_BD @ key_ND.T / temperature
    positive_B = torch.arange(len(query_BD), device=query_BD.device) + first_positive
    return functional.cross_entropy(logits_BN, positive_B) * (2 * temperature)
