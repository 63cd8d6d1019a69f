"""Labels with too few items, and how many would do, read off the labels of the same catalogue that have enough.

If s other items of its label were there instead of all n, would an item's nearest neighbour still be of its label? It
is where one of the `a` items of its label that lie before the first item of another label is among the s: for s drawn
of n that happens with probability 1 - C(n - a, s) / C(n, s). Averaged over the items it is a curve of rank-1 over the
number of items of a label, and the least s with nine tenths of what ten others give is enough.
"""

# Q questions.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.doctor.label_distance import codes_of
from index.doctor.neighbours import Neighbours
from index.evaluation_items import NONE

MANY = 10  # others of a label, of which the curve is read
ENOUGH = 0.9  # of what MANY give
WITHOUT_CURVE = 4  # items of a label where no label has enough for a curve: as many as a suspicion needs


@dataclass(frozen=True)
class Enough:
    """How many items a label should have.

    Attributes:
        num: that would do.
        rank_1: expected share of right first neighbours, by the number of items of a label; None without a curve.
    """

    num: int
    rank_1: dict[int, float] | None


def how_many_do(neighbours: Neighbours, codes_N: NDArray[np.int32], num_of_label: NDArray[np.int64]) -> Enough:
    """Read it off the items whose labels have at least MANY others.

    Args:
        neighbours: of the questions.
        codes_N: numbers of all items' labels.
        num_of_label: items of each label.
    """
    own_Q = codes_N[neighbours.questions_Q]
    others_Q = np.where(own_Q != NONE, num_of_label[own_Q] - 1, 0)
    asked = np.flatnonzero(others_Q >= MANY)
    if not len(asked):
        return Enough(WITHOUT_CURVE, None)
    codes_QK = codes_of(neighbours, codes_N)[asked]
    foreign = (codes_QK != own_Q[asked, None]) & (codes_QK != NONE)
    before = np.cumsum(foreign, axis=1) == 0
    ahead_Q = ((codes_QK == own_Q[asked, None]) & before).sum(axis=1)
    share_missed_Q = np.ones(len(asked))
    curve = {}
    for num in range(1, MANY + 1):
        # One more is drawn of those that are left: it misses where it is none of those ahead.
        left_Q = others_Q[asked] - (num - 1)
        share_missed_Q *= np.maximum(left_Q - ahead_Q, 0) / left_Q
        curve[num + 1] = float(1 - share_missed_Q.mean())
    num = next(num for num, rank_1 in curve.items() if rank_1 >= ENOUGH * curve[MANY + 1])
    return Enough(num, curve)
