"""How suspicious the label of each item is, and from which suspicion on it is likely wrong, fitted on the catalogue.

    suspicion = log(distance to the own label / distance to the nearest other label) - doubt

Where that is not above 0 without the doubt there is none. The doubt grows with the share of the own label's other items
that are nearer to that same label too: the encoder takes the one for the other, so it says little of a single item.

It has no unit, so one rule serves every encoder. Where it becomes a finding is not set but fitted: items are given a
wrong label at random, in thought, and their suspicion tells how wrong labels look here. If F items in a hundred are at
least so suspicious, and P in a hundred of those with a planted wrong label, then at most F/P of the labels are wrong:
the least of these bounds, F counted at its upper end, is taken for the share of wrong labels (as a bound of that kind
is in confident learning, Northcutt et al., arXiv:1911.00068). What is found beyond it must be right items that only
look so, and the suspicion is chosen at which they are few.

Not covered: a mistake made again and again, such as a quarter of one label under one other label. Such items are each
other's neighbours under the wrong label, as are the pictures of a label that is of two kinds. And an encoder that does
not tell the labels apart: then nothing is suspected, and `told_apart` says why.
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
LEAST_FOUND = 0.4  # share of the planted wrong labels that a threshold must find, or it tells nothing about them
CAUTION = 0.1  # standard errors, beside one item, by which a count is taken to be higher
LEAST_TOLD_APART = 0.5
# Chosen with planted wrong labels on drawn insects and photographs of groceries; the caution on those of flowers too.
DOUBT = 0.3
SELDOM = 0.015  # share of a label's items that are nearer to one other label, at which there is doubt
# Stored vectors have half precision: closer than this they are equal.
EQUAL = 1e-6


@dataclass(frozen=True)
class Suspicion:
    """The labels of one rank, as their items' neighbours see them.

    Attributes:
        suspicion_Q: of each question; -inf where no other label is nearer, not a number where it cannot be judged: it
            has no label, or is the only one of it.
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
    own_A, asked_neighbours = own_Q[asked], _some(neighbours, asked)
    evidence_A, other_Q[asked] = _evidence(vectors, asked_neighbours, codes_N, labelled, own_A, own_A, num_of_label)
    suspicion_Q[asked] = evidence_A
    judged = np.flatnonzero(~np.isnan(suspicion_Q))
    first_J = nearest_label(_some(neighbours, judged), codes_N)
    told_apart = float((first_J == own_Q[judged]).mean()) if len(judged) else 0.0
    present = np.flatnonzero(num_of_label)
    if len(present) < 2 or told_apart < LEAST_TOLD_APART:
        return Suspicion(suspicion_Q, other_Q, told_apart, np.inf, np.zeros(len(own_Q)))
    rivalry = _Rivalry(own_A, other_Q[asked], evidence_A, len(num_of_label))
    suspicion_Q[asked] = rivalry.suspicion(evidence_A, own_A, other_Q[asked], counted=True)
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(asked), min(PLANTED, len(asked)), replace=False)
    place_P = np.searchsorted(present, own_A[chosen])
    planted_P = present[(place_P + generator.integers(1, len(present), len(chosen))) % len(present)].astype(np.int32)
    evidence_P, other_P = _evidence(
        vectors, _some(asked_neighbours, chosen), codes_N, labelled, planted_P, own_A[chosen], num_of_label
    )
    planted_suspicion_P = rivalry.suspicion(evidence_P, planted_P, other_P, counted=False)
    threshold, confidence_Q = fit_threshold(suspicion_Q, planted_suspicion_P)
    return Suspicion(suspicion_Q, other_Q, told_apart, threshold, confidence_Q)


class _Rivalry:
    """How many items of one label are nearer to another one.

    Args:
        own_A: labels of items.
        other_A: the nearest other label of each.
        evidence_A: above 0 where an item is nearer to that one.
        num_labels: of which some may have no item here.
    """

    def __init__(
        self, own_A: NDArray[np.int32], other_A: NDArray[np.int32], evidence_A: NDArray[np.float64], num_labels: int
    ) -> None:
        self._num_labels = num_labels
        self._num_of_label = np.maximum(np.bincount(own_A, minlength=num_labels), 1)
        nearer = evidence_A > 0
        self._pairs, self._times = np.unique(self._pair(own_A[nearer], other_A[nearer]), return_counts=True)

    def suspicion(
        self,
        evidence_Q: NDArray[np.float64],
        given_Q: NDArray[np.int32],
        other_Q: NDArray[np.int32],
        *,
        counted: bool,
    ) -> NDArray[np.float64]:
        """The suspicion of items with some labels, each with its nearest other label.

        Args:
            evidence_Q: for the other label.
            given_Q: the labels.
            other_Q: the nearest other ones.
            counted: whether they are among the items that were counted: an item is no reason to doubt itself.
        """
        suspicion_Q = np.where(np.isnan(evidence_Q), np.nan, -np.inf)
        found = np.flatnonzero(evidence_Q > 0)
        pairs = self._pair(given_Q[found], other_Q[found])
        places = np.minimum(np.searchsorted(self._pairs, pairs), max(len(self._pairs) - 1, 0))
        times = np.where(self._pairs[places] == pairs, self._times[places], 0) if len(self._pairs) else 0 * pairs
        share = (times - counted) / self._num_of_label[given_Q[found]]
        suspicion_Q[found] = evidence_Q[found] - DOUBT * np.log1p(share / SELDOM)
        return suspicion_Q

    def _pair(self, own: NDArray[np.int32], other: NDArray[np.int32]) -> NDArray[np.int64]:
        return own.astype(np.int64) * self._num_labels + other


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
    # Also where nothing is found: that bounds the share of wrong labels best.
    thresholds_T = np.unique(np.append(judged_J, planted_P)[np.isfinite(np.append(judged_J, planted_P))])
    found_T = (len(planted_P) - np.searchsorted(planted_P, thresholds_T)) / max(len(planted_P), 1)
    thresholds_T, found_T = thresholds_T[found_T >= LEAST_FOUND], found_T[found_T >= LEAST_FOUND]
    confidence_Q = np.zeros(len(suspicion_Q))
    if not len(thresholds_T):
        return np.inf, confidence_Q
    num_T = len(judged_J) - np.searchsorted(judged_J, thresholds_T)
    upper_T = num_T + CAUTION * np.sqrt(num_T) + 1
    num_wrong_T = (upper_T / found_T).min() * found_T
    threshold = float(thresholds_T[np.argmax(num_wrong_T >= WANTED_SHARE * num_T)])
    # Twice held against the upper end of the count, of the bound and of its own: of three items one is not so sure.
    share_T = np.maximum.accumulate(num_wrong_T / upper_T * (num_T / upper_T))
    suspects = np.flatnonzero(suspicion_Q >= threshold)
    confidence_Q[suspects] = share_T[np.searchsorted(thresholds_T, suspicion_Q[suspects], side="right") - 1]
    return threshold, confidence_Q


def _evidence(
    vectors: VectorFile,
    neighbours: Neighbours,
    codes_N: NDArray[np.int32],
    labelled: NDArray[np.int64],
    given_Q: NDArray[np.int32],
    own_Q: NDArray[np.int32],
    num_of_label: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """What speaks for another label, and which, if questions that have the labels `own_Q` had the labels `given_Q`."""
    few_Q = few_of(given_Q, own_Q, num_of_label)
    distance_Q = distances_to(vectors, neighbours, codes_N, labelled, given_Q, few_Q)
    other_Q, other_distance_Q = nearest_other_label(neighbours, codes_N, given_Q, few_Q)
    near = other_Q != NONE
    evidence_Q = np.where(np.isnan(distance_Q), np.nan, -np.inf)
    evidence_Q[near] = np.log((distance_Q[near] + EQUAL) / (other_distance_Q[near] + EQUAL))
    return evidence_Q, other_Q


def _some(neighbours: Neighbours, chosen: NDArray[np.int64]) -> Neighbours:
    return Neighbours(neighbours.questions_Q[chosen], neighbours.positions_QK[chosen], neighbours.distances_QK[chosen])
