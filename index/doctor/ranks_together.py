"""What a label of one rank says about the others: a species about its genus, if the catalogue's items agree on it.

Which ranks depend on which is read off the items, not assumed: a rank may as well be the colour.
"""

# N items.

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from index.answers.lineages import Homonyms, ranks_above
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


def names_of_two(
    names: Mapping[str, Sequence[str]], codes: Mapping[str, NDArray[np.int32]], declared: Sequence[str]
) -> Homonyms:
    """Of each declared rank the names that are two labels, because their items do not agree on what is above them.

    A single item that disagrees has a wrong label above, however few the others are.

    Args:
        names: of the labels of each rank, by number.
        codes: of each rank, the number of each item's label, NONE for none; shape (N,).
        declared: ranks that lie one above the other, finest first.
    """
    found = {}
    for rank, above in ranks_above(declared).items():
        if rank not in codes or above not in codes:
            continue
        both = (codes[rank] != NONE) & (codes[above] != NONE)
        # As one number: NumPy takes ten times as long over pairs.
        pairs = codes[rank][both].astype(np.int64) * len(names[above]) + codes[above][both]
        pairs_P, times_P = np.unique(pairs, return_counts=True)
        own_P = pairs_P // max(len(names[above]), 1)
        all_U, most_U = np.zeros(len(names[rank]), np.int64), np.zeros(len(names[rank]), np.int64)
        np.add.at(all_U, own_P, times_P)
        np.maximum.at(most_U, own_P, times_P)
        two = (most_U < AGREED * all_U) & (all_U - most_U > 1)
        found[rank] = frozenset(names[rank][code] for code in np.flatnonzero(two).tolist())
    return found


def what_follows(codes: Mapping[str, NDArray[np.int32]], rank: str, code: int) -> dict[str, int]:
    """The labels of coarser ranks that items of a label have, where they agree on one.

    Args:
        codes: numbers of all items' labels by rank, finest first.
        rank: of the label.
        code: of the label.
    """
    ranks = list(codes)
    found = {
        coarser: label_that_follows(codes[rank], code, codes[coarser]) for coarser in ranks[ranks.index(rank) + 1 :]
    }
    return {coarser: follows for coarser, follows in found.items() if follows != NONE}


def consistent_change(
    codes: Mapping[str, NDArray[np.int32]],
    position: int,
    rank: str,
    code: int,
    by_name: Mapping[str, NDArray[np.int32]],
) -> tuple[dict[str, int], list[str]]:
    """What else changes with an item's label of a rank: coarser labels that follow, finer ones that no longer can be.

    Args:
        codes: numbers of all items' labels by rank, finest first.
        position: of the item.
        rank: whose label changes.
        code: the new one.
        by_name: as `codes`, with homonyms as one label: a finer label may be of the other name that it stands under.

    Returns:
        The labels to set, by rank, the changed one first; and the ranks to have no label of.
    """
    follow = what_follows(codes, rank, code).items()
    to_set = {rank: code} | {coarser: follows for coarser, follows in follow if follows != codes[coarser][position]}
    to_unset = list[str]()
    ranks = list(codes)
    for finer in ranks[: ranks.index(rank)]:
        own = int(by_name[finer][position])
        if own != NONE and label_that_follows(by_name[finer], own, codes[rank]) not in (NONE, code):
            to_unset.append(finer)
    return to_set, to_unset
