"""What a label of one rank says about the others: a species about its genus, if the catalogue's items agree on it.

Which ranks depend on which is read off the items, not assumed: a rank may as well be the colour.
"""

# N items.

import numpy as np
from numpy.typing import NDArray

from index.evaluation_items import NONE

AGREED = 0.9  # share of a label's items with one label of the other rank, for it to follow


def label_that_follows(codes_N: NDArray[np.int32], code: int, other_codes_N: NDArray[np.int32]) -> int:
    """Number of the label of another rank that items of a label have, NONE where they do not agree on one.

    Args:
        codes_N: numbers of all items' labels at the one rank.
        code: of the label.
        other_codes_N: numbers of their labels at the other rank.
    """
    others = other_codes_N[(codes_N == code) & (other_codes_N != NONE)]
    if not len(others):
        return NONE
    counts = np.bincount(others)
    most = int(counts.argmax())
    return most if counts[most] >= AGREED * len(others) else NONE


def consistent_change(
    codes: dict[str, NDArray[np.int32]], position: int, rank: str, code: int
) -> tuple[dict[str, int], list[str]]:
    """What else changes with an item's label of a rank: coarser labels that follow, finer ones that no longer can be.

    Args:
        codes: numbers of all items' labels by rank, finest first.
        position: of the item.
        rank: whose label changes.
        code: the new one.

    Returns:
        The labels to set, by rank, the changed one first; and the ranks to have no label of.
    """
    ranks = list(codes)
    place = ranks.index(rank)
    to_set, to_unset = {rank: code}, list[str]()
    for coarser in ranks[place + 1 :]:
        follows = label_that_follows(codes[rank], code, codes[coarser])
        if follows not in (NONE, codes[coarser][position]):
            to_set[coarser] = follows
    for finer in ranks[:place]:
        own = int(codes[finer][position])
        if own != NONE and label_that_follows(codes[finer], own, codes[rank]) not in (NONE, code):
            to_unset.append(finer)
    return to_set, to_unset
