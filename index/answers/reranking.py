"""The first matches of a search in another order: by their cosine and by their pivotal patches together.

    score = (cosine + weight * local score) / (1 + weight)

so a score stays in [-1, 1]. Of several photographs of one thing an item's local score is that of the photograph that
it fits best: a mark is seen in one of them. An item whose patches are not known, or that comes after the first
CANDIDATES, counts as if its local score were the middle one of those that have one, so it is moved by its cosine alone.
"""

# C candidates, Q pivotal patches of a query.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from index.answers.late_interaction import interact
from index.answers.local_features import LocalFeatures
from index.items import Match

CANDIDATES = 100


@dataclass(frozen=True)
class LocalScores:
    """Local scores of candidates, and which photograph each is of.

    Attributes:
        score_C: in [-1, 1]; NaN where the candidate's patches are not known.
        picture_C: number of the photograph that fits best, int64.
    """

    score_C: NDArray[np.float32]
    picture_C: NDArray[np.int64]


def local_scores(pictures: Mapping[int, LocalFeatures], candidates: Sequence[LocalFeatures | None]) -> LocalScores:
    """Compare photographs of one thing, by their numbers, with candidates."""
    score_C = np.full(len(candidates), np.nan, np.float32)
    picture_C = np.full(len(candidates), -1, np.int64)
    known = [place for place, candidate in enumerate(candidates) if candidate is not None]
    known_candidates = [candidate for candidate in candidates if candidate is not None]
    for number, features in pictures.items():
        found_K = interact(features, known_candidates).score_C
        better = ~(found_K <= score_C[known])  # also than what is not there yet
        places = np.array(known, np.int64)[better]
        score_C[places], picture_C[places] = found_K[better], number
    return LocalScores(score_C, picture_C)


def combined(cosine_N: NDArray[np.float32], local_C: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """Scores of ranked items of which the first C have local scores, NaN where one is not known; shape (N,)."""
    known = local_C[~np.isnan(local_C)]
    if not len(known):
        return cosine_N
    local_N = np.full(len(cosine_N), np.median(known), np.float32)
    local_N[: len(local_C)] = np.where(np.isnan(local_C), local_N[: len(local_C)], local_C)
    return ((cosine_N + weight * local_N) / (1 + weight)).astype(np.float32)


def rerank(matches: Sequence[Match], scores: LocalScores, weight: float) -> list[Match]:
    """The matches in their new order, each with the scores that it was made of; equal ones by id.

    Args:
        matches: by cosine, best first.
        scores: of the first of them.
        weight: of the local score, at least 0.
    """
    cosine_N = np.array([match.score for match in matches], np.float32)
    score_N = combined(cosine_N, scores.score_C, weight)
    local = [None if np.isnan(score) else float(score) for score in scores.score_C]
    local += [None] * (len(matches) - len(local))
    moved = [
        replace(match, score=score, global_score=match.score, local_score=of_patches)
        for match, score, of_patches in zip(matches, score_N.tolist(), local, strict=True)
    ]
    return sorted(moved, key=lambda match: (-match.score, match.id))
