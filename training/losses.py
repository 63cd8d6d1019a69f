"""The contrastive loss of both branches, without labels and with them."""

# B queries of this process, N keys of all processes, D dim of the contrastive space, R ranks of labels.

from collections.abc import Sequence

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
    positive_B = torch.arange(len(query_BD), device=query_BD.device) + first_positive
    logits_BN = _logits(query_BD, key_ND, temperature)
    if excluded_BN is not None:
        logits_BN = logits_BN.masked_fill(excluded_BN, -torch.inf)
    return functional.cross_entropy(logits_BN, positive_B) * (2 * temperature)


def supervised_contrast(
    query_BD: Tensor,
    key_ND: Tensor,
    label_BR: Tensor,
    key_label_NR: Tensor,
    rank_weights: Sequence[float],
    temperature: float,
    first_positive: int = 0,
    same_picture_BN: Tensor | None = None,
) -> Tensor:
    """Supervised contrastive loss, scaled by 2T (Khosla et al., arXiv:2004.11362, `L_out`).

    At each rank the positives of row i are its own key, `first_positive` + i, and the keys of its label. The loss of a
    rank is the mean over a row's positives of the log-softmax; that of all ranks is their weighted mean (hierarchical
    multi-label contrastive learning, Zhang et al., CVPR 2022, without its constraint between the ranks). Where no two
    pictures share a label it is `info_nce`.

    Args:
        query_BD: predictor output of one view, float, any norm. Shape (B, D).
        key_ND: momentum projector output of the other view, of all processes, without gradient. Shape (N, D).
        label_BR: number of each query's label at each rank, finest first, int64; -1 for none. Shape (B, R).
        key_label_NR: the same of the keys. Shape (N, R).
        rank_weights: one a rank, at least 0, not all 0.
        temperature: softmax temperature T, > 0.
        first_positive: where the keys of this process begin among those of all.
        same_picture_BN: True where a key is of the query's picture though not its own: a positive at each rank,
            labelled or not. Bool, shape (B, N).

    Returns:
        Scalar loss, float32.
    """
    log_prob_BN = functional.log_softmax(_logits(query_BD, key_ND, temperature), dim=1)
    is_own_BN = torch.zeros_like(log_prob_BN, dtype=torch.bool)
    is_own_BN[:, first_positive : first_positive + len(query_BD)].fill_diagonal_(True)
    if same_picture_BN is not None:
        is_own_BN |= same_picture_BN
    share_BN = torch.zeros_like(log_prob_BN)
    for rank, weight in enumerate(rank_weights):
        label_B, key_label_N = label_BR[:, rank], key_label_NR[:, rank]
        is_same_BN = (label_B[:, None] == key_label_N) & (label_B[:, None] >= 0)
        positive_BN = (is_own_BN | is_same_BN).float()
        share_BN += positive_BN / positive_BN.sum(dim=1, keepdim=True) * (weight / sum(rank_weights))
    row_B1 = (log_prob_BN * share_BN).sum(dim=1, keepdim=True)
    # The mean over the rows as cross entropy takes it, so that without shared labels not a bit differs from `info_nce`.
    first_B = torch.zeros(len(row_B1), dtype=torch.int64, device=row_B1.device)
    return functional.nll_loss(row_B1, first_B) * (2 * temperature)


def _logits(query_BD: Tensor, key_ND: Tensor, temperature: float) -> Tensor:
    """Cosines over T, float32, shape (B, N), whatever precision the network runs in.

    MoCo v3's code leaves this product to mixed precision. In bf16 that keeps two to three digits of a cosine, and near
    pictures differ by less.
    """
    with torch.autocast(query_BD.device.type, enabled=False):
        query_BD = functional.normalize(query_BD.float(), dim=1)
        key_ND = functional.normalize(key_ND.float(), dim=1)
        return query_BD @ key_ND.T / temperature


def repeated_pictures(num_queries: int, num_keys: int, first_positive: int, repeats: int) -> Tensor:
    """The keys that come from a query's picture but from another pair of its views, bool, shape (B, N).

    Repeated augmentation puts `repeats` pairs of one picture side by side in the batch (arXiv:1901.09335,
    arXiv:1902.05509). Such a key is a false negative; of the two cures, excluding it or pulling it closer too
    (arXiv:2011.11765), excluding leaves each query its one positive and so the loss its form and scale. With
    labels there are several positives anyhow, and such a key is one of them.

    Args:
        num_queries: B, of this process.
        num_keys: N, of all processes.
        first_positive: where the keys of this process begin among those of all.
        repeats: pairs of views of each picture.
    """
    query_B1 = (torch.arange(num_queries) + first_positive)[:, None]
    key_1N = torch.arange(num_keys)[None]
    return (query_B1 // repeats == key_1N // repeats) & (query_B1 != key_1N)
