"""Several photographs of one thing: how much each counts, and the one query that they make.

A photograph counts by its own neighbours: exp(half of how much nearer its first one is than the other photographs',
in units of the neighbours' usual spread), so that a blurred one, which is near nothing, counts little; and by how far
its vote agrees with the others', so that one of something else counts little among three. Of two photographs that
disagree neither is the odd one. Measured against the plain mean: `benchmarks/answers.py --parts photos`.
"""

# N photographs, D embedding dim.

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoder.errors import InputError
from index.answers.lineages import ClassKey
from index.answers.shares import PhotoVote, Shares

NEARNESS = 0.5
LONE_AGREEMENT = 0.1  # of a photograph that agrees with no other
LEAST_SPREAD = 1e-6


def photo_weights(votes: Sequence[PhotoVote]) -> list[float]:
    """What each photograph counts, in their order; the weights sum to 1."""
    spread = max(sum(vote.gap for vote in votes) / len(votes), LEAST_SPREAD)
    nearest = max(vote.first for vote in votes)
    raw = [
        math.exp(NEARNESS * (vote.first - nearest) / spread) * (LONE_AGREEMENT + agreement)
        for vote, agreement in zip(votes, _agreements(votes), strict=True)
    ]
    return [weight / sum(raw) for weight in raw]


def fuse(photographs_ND: NDArray[np.float32], weights: Sequence[float]) -> NDArray[np.float32]:
    """The weighted mean of unit vectors, as a unit vector. Shape (D,).

    Raises:
        InputError: the photographs cancel out, so that they have no mean direction.
    """
    if len(photographs_ND) == 1:
        return np.asarray(photographs_ND[0])
    mean_D: NDArray[np.float64] = np.average(photographs_ND.astype(np.float64), axis=0, weights=np.array(weights))
    norm = float(np.linalg.norm(mean_D))
    if norm < 1e-6:
        raise InputError("these pictures have nothing in common: their embeddings cancel out")
    return np.asarray(mean_D / norm, dtype=np.float32)


def pooled(votes: Sequence[PhotoVote], weights: Sequence[float]) -> PhotoVote:
    """One vote of several photographs: the weighted mean of their shares, first cosines and gaps."""
    if len(votes) == 1:
        return votes[0]
    shares: Shares = {}
    for rank in dict.fromkeys(rank for vote in votes for rank in vote.shares):
        sums: dict[ClassKey, float] = {}
        for vote, weight in zip(votes, weights, strict=True):
            for key, share in vote.shares.get(rank, {}).items():
                sums[key] = sums.get(key, 0.0) + weight * share
        shares[rank] = dict(sorted(sums.items(), key=lambda entry: -entry[1]))
    return PhotoVote(
        shares,
        sum(weight * vote.first for vote, weight in zip(votes, weights, strict=True)),
        sum(weight * vote.gap for vote, weight in zip(votes, weights, strict=True)),
    )


def _agreements(votes: Sequence[PhotoVote]) -> list[float]:
    """The cosine of each photograph's shares with the sum of the others', at the finest rank that any has."""
    rank = next((rank for vote in votes for rank in vote.shares), None)
    if rank is None or len(votes) == 1:
        return [1.0] * len(votes)
    finest = [vote.shares.get(rank, {}) for vote in votes]
    agreements = []
    for number, own in enumerate(finest):
        others: dict[ClassKey, float] = {}
        for other in (*finest[:number], *finest[number + 1 :]):
            for key, share in other.items():
                others[key] = others.get(key, 0.0) + share
        length = math.hypot(*own.values()) * math.hypot(*others.values())
        agreements.append(sum(share * others.get(key, 0.0) for key, share in own.items()) / length if length else 0.0)
    return agreements
