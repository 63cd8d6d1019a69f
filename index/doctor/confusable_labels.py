"""Pairs of labels that cannot be told apart: their items are each other's neighbours as if the labels were drawn.

Of the neighbours of an item of one label that have either of the two, a share has the other label. Were the two one
label, divided by chance, it would be that label's share of all their items. Separation is 1 minus the ratio of the
two: 1 where the labels never meet, 0 at chance; the mean over both labels' items. A pair is looked at where one label
is the first rival of the other: the one that its items' neighbours have most often.
"""

# Q questions, K neighbours.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.doctor.label_distance import codes_of
from index.doctor.neighbours import Neighbours
from index.evaluation_items import NONE

NEAREST = 10  # neighbours of an item that count
INSEPARABLE = 0.25
CERTAINLY_BELOW = 0.5  # with 95 %: a few items at chance are no evidence
LEAST_ITEMS = 5  # of each label, with a neighbour of either of the two


@dataclass(frozen=True)
class Pair:
    """Two labels that are taken for each other.

    Attributes:
        codes: of the two, the one with more items first.
        separation: 0 at chance, 1 where they never meet.
        questions: rows of items of one label whose first neighbour has the other.
    """

    codes: tuple[int, int]
    separation: float
    questions: tuple[int, ...]


def find_pairs(neighbours: Neighbours, codes_N: NDArray[np.int32], num_of_label: NDArray[np.int64]) -> list[Pair]:
    """The pairs of labels that cannot be told apart, those at chance first.

    Args:
        neighbours: of the questions.
        codes_N: numbers of all items' labels.
        num_of_label: items of each label.
    """
    own_Q = codes_N[neighbours.questions_Q]
    codes_QK = codes_of(neighbours, codes_N)[:, :NEAREST]
    rows_of = {int(code): np.flatnonzero(own_Q == code) for code in np.unique(own_Q[own_Q != NONE])}
    rivals = set[tuple[int, int]]()
    for code, rows in rows_of.items():
        seen, times = np.unique(codes_QK[rows], return_counts=True)
        others = (seen != NONE) & (seen != code)
        if others.any():
            rival = int(seen[others][times[others].argmax()])
            rivals.add((min(code, rival), max(code, rival)))
    pairs = (_pair(codes_QK, rows_of, num_of_label, *codes) for codes in rivals)
    return sorted((pair for pair in pairs if pair is not None), key=lambda pair: (pair.separation, pair.codes))


def _pair(
    codes_QK: NDArray[np.int32],
    rows_of: dict[int, NDArray[np.int64]],
    num_of_label: NDArray[np.int64],
    one: int,
    other: int,
) -> Pair | None:
    """The pair, if it cannot be told apart."""
    means, variances, mistaken = [], [], list[int]()
    for own, rival in ((one, other), (other, one)):
        rows = rows_of.get(own, np.empty(0, np.int64))
        is_own, is_rival = codes_QK[rows] == own, codes_QK[rows] == rival
        num = is_own.sum(axis=1) + is_rival.sum(axis=1)
        met = num > 0
        if met.sum() < LEAST_ITEMS:
            return None
        by_chance = num_of_label[rival] / (num_of_label[own] + num_of_label[rival] - 1)
        separation = 1 - is_rival.sum(axis=1)[met] / num[met] / by_chance
        means.append(separation.mean())
        variances.append(separation.var(ddof=1) / len(separation))
        mistaken += rows[is_rival[:, 0]].tolist()
    separation = float(np.mean(means))
    upper = separation + 1.645 * float(np.sqrt(np.sum(variances))) / 2
    if separation >= INSEPARABLE or upper >= CERTAINLY_BELOW or not mistaken:
        return None
    first, second = sorted((one, other), key=lambda code: (-num_of_label[code], code))
    return Pair((first, second), separation, tuple(mistaken))
