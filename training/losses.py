"""The contrastive loss of both branches."""

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(
    query_BD: Tensor,
    key_ND: Tensor,
    temperature: float,
    first_positive: int = 0,
    excluded_BN: Tensor | None = None,
) -> Tensor:
    """InfoNCE with in-batch negatives, scaled by 2T (MoCo v3, arXiv:2104.02057, Alg. 1, `ctr`).

    The positive of row i is key `first_positive` + i; every other key is a negative, unless excluded.

    Args:
        query_BD: predictor output of one view, float, any norm. Shape (B, D).
        key_ND: momentum projector output of the other view, of all processes, without gradient. Shape (N, D).
        temperature: softmax temperature T, > 0.
        first_positive: where the keys of this process begin among those of all.
        excluded_BN: True where a key is no negative of a query, bool, shape (B, N), never at the positive.

    Returns:
        Scalar loss, float32.
    """
    query_BD = functional.normalize(query_BD.float(), dim=1)
    key_ND = functional.normalize(key_ND.float(), dim=1)
    logits_BN = query_BD @ key_ND.T / temperature
    if excluded_BN is not None:
        logits_BN = logits_BN.masked_fill(excluded_BN, -torch.inf)
    positive_B = torch.arange(len(query_BD), device=query_BD.device) + first_positive
    return functional.cross_entropy(logits_BN, positive_B) * (2 * temperature)


def repeated_pictures(num_queries: int, num_keys: int, first_positive: int, repeats: int) -> Tensor:
    """The keys that come from a query's picture but from another pair of its views, bool, shape (B, N).

    Repeated augmentation puts `repeats` pairs of one picture side by side in the batch (arXiv:1901.09335,
    arXiv:1902.05509). Such a key is a false negative; of the two cures, excluding it or pulling it closer too
    (arXiv:2011.11765), excluding leaves each query its one positive and so the loss its form and scale.

    Args:
        num_queries: B, of this process.
        num_keys: N, of all processes.
        first_positive: where the keys of this process begin among those of all.
        repeats: pairs of views of each picture.
    """
    query_B1 = (torch.arange(num_queries) + first_positive)[:, None]
    key_1N = torch.arange(num_keys)[None]
    return (query_B1 // repeats == key_1N // repeats) & (query_B1 != key_1N)
