"""The classes of a catalogue's items as numbers, for a fit over thousands of questions."""

# N items, R ranks, U distinct rows of labels.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.answers.lineages import ClassKey, Homonyms, class_key, find_homonyms, ranks_above
from index.evaluation_items import NONE, EvaluatedItems


@dataclass(frozen=True)
class Classes:
    """The classes of items.

    Attributes:
        declared: ranks that lie one above the other, finest first.
        homonyms: names that stand under two.
        keys: of each rank, finest first, the number of each class.
        codes: of each rank the class of each item, NONE for none; shape (N,), int64.
        finest_N: number of the finest label of each item, NONE for none; by name, so that homonyms are one.
        size_by_finest: number of items by that, float64.
        sizes: the same by rank and name.
    """

    declared: tuple[str, ...]
    homonyms: Homonyms
    keys: dict[str, dict[ClassKey, int]]
    codes: dict[str, NDArray[np.int64]]
    finest_N: NDArray[np.int64]
    size_by_finest: NDArray[np.float64]
    sizes: dict[str, dict[str, int]]

    @property
    def ranks(self) -> list[str]:
        """All that an item has a label of, finest first."""
        return list(self.codes)

    def codes_of(self, labels: Mapping[str, str]) -> dict[str, int]:
        """The classes of a picture with these labels; those that no item has are left out."""
        above = ranks_above(self.declared)
        found = {}
        for rank in self.codes:
            if rank in labels:
                code = self.keys[rank].get(class_key(labels, rank, self.homonyms, above))
                if code is not None:
                    found[rank] = code
        return found


def read_classes(items: EvaluatedItems, declared: Sequence[str]) -> Classes:
    """The classes of the items of a catalogue whose ranks are called so, finest first."""
    ranks = list(items.codes)
    num_items = len(items.ids)
    if not ranks:
        return Classes(tuple(declared), {}, {}, {}, np.full(num_items, NONE), np.zeros(0), {})
    rows_UR, row_N = np.unique(np.column_stack([items.codes[rank] for rank in ranks]), axis=0, return_inverse=True)
    row_N = row_N.reshape(-1)
    labels_U = [
        {rank: items.names[rank][code] for rank, code in zip(ranks, row, strict=True) if code != NONE}
        for row in rows_UR.tolist()
    ]
    homonyms, above = find_homonyms(labels_U, declared), ranks_above(declared)
    keys: dict[str, dict[ClassKey, int]] = {rank: {} for rank in ranks}
    codes: dict[str, NDArray[np.int64]] = {}
    for rank in ranks:
        numbers = keys[rank]
        code_U = [
            numbers.setdefault(class_key(labels, rank, homonyms, above), len(numbers)) if rank in labels else NONE
            for labels in labels_U
        ]
        codes[rank] = np.array(code_U, np.int64)[row_N]
    finest: dict[tuple[str, str], int] = {}
    finest_U = [finest.setdefault(next(iter(labels.items())), len(finest)) if labels else NONE for labels in labels_U]
    finest_N = np.array(finest_U, np.int64)[row_N]
    size_by_finest = np.bincount(finest_N[finest_N != NONE], minlength=len(finest)).astype(np.float64)
    sizes: dict[str, dict[str, int]] = {}
    for (rank, name), number in finest.items():
        sizes.setdefault(rank, {})[name] = int(size_by_finest[number])
    return Classes(tuple(declared), homonyms, keys, codes, finest_N, size_by_finest, sizes)
