"""How suspicious the label of each item is, and from which suspicion on it is likely wrong, fitted on the catalogue.

    suspicion = log(distance to the own label / distance to the nearest other label)

It has no unit, so one rule serves every encoder. Where it becomes a finding is not set but fitted: items are given a
wrong label at random, in thought, and their suspicion tells how wrong labels look here. If F items in a hundred are at
least so suspicious, and P in a hundred of those with a planted wrong label, then at most F/P of the labels are wrong:
the least of these bounds, F counted at its upper end, is taken for the share of wrong labels (as a bound of that kind
is in confident learning, Northcutt et al., arXiv:1911.00068). What is found beyond it must be right items that only
look so, and the suspicion is chosen at which they are few.

Not covered: an encoder that does not tell the labels apart. Then nothing is suspected, and `told_apart` says why.
"""

# Q questions, J of them that can be judged, P planted wrong labels, T thresholds.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.doctor.label_distance import distances_to, few_of, nearest_label, nearest_other_label
from index.doctor.neighbours import Neighbours
from index.evaluation_items import NONE
from index.vector_file import VectorFile

PLANTED = 2000
WANTED_SHARE = 0.95  # of right ones among the findings, by the bound above
LEAST_FOUND = 0.3  # share of the planted wrong labels that a threshold must find, or it tells nothing about them
LEAST_TOLD_APART = 0.5
# Stored vectors have half precision: closer than this they are equal.
EQUAL = 1e-6


@dataclass(frozen=True)
class Suspicion:
    """The labels of one rank, as their items' neighbours see them.

    Attributes:
        suspicion_Q: of each question; -inf where no other label is near, not a number where it cannot be judged: it has
            no label, or is the only one of it.
        other_Q: number of the nearest other label, NONE where none is near.
        told_apart: share of the items that can be judged whose nearest neighbour with a label has theirs.
        threshold: from which on a label is likely wrong; infinite where nothing can be said.
        confidence_Q: estimated share of wrong labels among the items at least so suspicious; 0 below the threshold.
    """

    suspicion_Q: NDArray[np.float64]
    other_Q: NDArray[np.int32]
    told_apart: float
    threshold: float
    confidence_Q: NDArray[np.float64]

    def suspects(self) -> list[int]:
        """The questions whose label is likely wrong, the most suspicious first."""
        found = np.flatnonzero(self.confidence_Q > 0)
        chosen: list[int] = found[np.argsort(-self.suspicion_Q[found], kind="stable")].tolist()
        return chosen


def suspect(
    vectors: VectorFile, neighbours: Neighbours, codes_N: NDArray[np.int32], members: NDArray[np.int64], seed: int
) -> Suspicion:
    """Judge the labels of one rank.

    Args:
        vectors: of all items.
        neighbours: of the questions, among the members.
        codes_N: numbers of all items' labels.
        members: positions of the items that count as neighbours, each content once.
        seed: of the planted wrong labels.
    """
    labelled = members[codes_N[members] != NONE]
    num_of_label = np.bincount(codes_N[labelled], minlength=1)
    own_Q = codes_N[neighbours.questions_Q]
    suspicion_Q, other_Q = np.full(len(own_Q), np.nan), np.full(len(own_Q), NONE, np.int32)
    asked = np.flatnonzero(own_Q != NONE)
    suspicion_Q[asked], other_Q[asked] = _suspicion_of(
        vectors, _some(neighbours, asked), codes_N, labelled, own_Q[asked], own_Q[asked], num_of_label
    )
    judged = np.flatnonzero(~np.isnan(suspicion_Q))
    first_J = nearest_label(_some(neighbours, judged), codes_N)
    told_apart = float((first_J == own_Q[judged]).mean()) if len(judged) else 0.0
    present = np.flatnonzero(num_of_label)
    silent = Suspicion(suspicion_Q, other_Q, told_apart, np.inf, np.zeros(len(own_Q)))
    if len(present) < 2 or told_apart < LEAST_TOLD_APART:
        return silent
    generator = np.random.default_rng(seed)
    chosen = generator.choice(asked, min(PLANTED, len(asked)), replace=False)
    own_P = own_Q[chosen]
    place_P = np.searchsorted(present, own_P)
    planted_P = present[(place_P + generator.integers(1, len(present), len(chosen))) % len(present)].astype(np.int32)
    planted_suspicion_P, _ = _suspicion_of(
        vectors, _some(neighbours, chosen), codes_N, labelled, planted_P, own_P, num_of_label
    )
    threshold, confidence_Q = fit_threshold(suspicion_Q, planted_suspicion_P)
    return Suspicion(suspicion_Q, other_Q, told_apart, threshold, confidence_Q)


def fit_threshold(
    suspicion_Q: NDArray[np.float64], planted_P: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """From which suspicion on labels are likely wrong, and how sure that is.

    Args:
        suspicion_Q: of the items as they are; not a number for those that cannot be judged.
        planted_P: of items with a wrong label.

    Returns:
        The threshold, infinite where there is none, and for each item the estimated share of wrong labels among those
        at least so suspicious, 0 below the threshold.
    """
    judged_J = np.sort(suspicion_Q[~np.isnan(suspicion_Q)])
    planted_P = np.sort(planted_P[~np.isnan(planted_P)])
    thresholds_T = np.unique(judged_J[np.isfinite(judged_J) & (judged_J > 0)])
    found_T = 1 - np.searchsorted(planted_P, thresholds_T) / max(len(planted_P), 1)
    thresholds_T, found_T = thresholds_T[found_T >= LEAST_FOUND], found_T[found_T >= LEAST_FOUND]
    confidence_Q = np.zeros(len(suspicion_Q))
    if not len(thresholds_T):
        return np.inf, confidence_Q
    num_T = len(judged_J) - np.searchsorted(judged_J, thresholds_T)
    upper_T = num_T + np.sqrt(num_T) + 1
    num_wrong_T = (upper_T / found_T).min() * found_T
    threshold = float(thresholds_T[np.argmax(num_wrong_T >= WANTED_SHARE * num_T)])
    # Twice held against the upper end of the count, of the bound and of its own: of three items one is not so sure.
    share_T = np.maximum.accumulate(num_wrong_T / upper_T * (num_T / upper_T))
    suspects = np.flatnonzero(suspicion_Q >= threshold)
    confidence_Q[suspects] = share_T[np.searchsorted(thresholds_T, suspicion_Q[suspects], side="right") - 1]
    return threshold, confidence_Q


def _suspicion_of(
    vectors: VectorFile,
    neighbours: Neighbours,
    codes_N: NDArray[np.int32],
    labelled: NDArray[np.int64],
    given_Q: NDArray[np.int32],
    own_Q: NDArray[np.int32],
    num_of_label: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """The suspicion of questions if the labels `given_Q` were theirs, which have the labels `own_Q`."""
    few_Q = few_of(given_Q, own_Q, num_of_label)
    distance_Q = distances_to(vectors, neighbours, codes_N, labelled, given_Q, few_Q)
    other_Q, other_distance_Q = nearest_other_label(neighbours, codes_N, given_Q, few_Q)
    near = other_Q != NONE
    suspicion_Q = np.where(np.isnan(distance_Q), np.nan, -np.inf)
    suspicion_Q[near] = np.log((distance_Q[near] + EQUAL) / (other_distance_Q[near] + EQUAL))
    return suspicion_Q, other_Q


def _some(neighbours: Neighbours, chosen: NDArray[np.int64]) -> Neighbours:
    return Neighbours(neighbours.questions_Q[chosen], neighbours.positions_QK[chosen], neighbours.distances_QK[chosen])
