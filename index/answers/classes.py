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


def class_codes(
    names: Mapping[str, Sequence[str]],
    codes: Mapping[str, NDArray[np.int32]],
    declared: Sequence[str],
    homonyms: Homonyms | None = None,
) -> tuple[dict[str, list[ClassKey]], dict[str, NDArray[np.int64]]]:
    """The classes of items whose labels are numbered by their bare names.

    Args:
        names: of the labels of each rank, by number.
        codes: of each rank, the number of each item's label, NONE for none; shape (N,).
        declared: ranks that lie one above the other, finest first.
        homonyms: names that are to be told apart by what is above them; None for all that stand under two.

    Returns:
        Of each rank the classes by number, and the number of each item's class, NONE for none; shape (N,), int64.
    """
    if not codes:
        return {}, {}
    labels_U, row_N = _distinct_labels(names, codes)
    if homonyms is None:
        homonyms = find_homonyms(labels_U, declared)
    keys, numbers = _numbered(list(codes), labels_U, row_N, homonyms, declared)
    return {rank: list(found) for rank, found in keys.items()}, numbers


def _distinct_labels(
    names: Mapping[str, Sequence[str]], codes: Mapping[str, NDArray[np.int32]]
) -> tuple[list[dict[str, str]], NDArray[np.int64]]:
    """The different labels that items have, and which of them each has."""
    rows_UR, row_N = np.unique(np.column_stack(list(codes.values())), axis=0, return_inverse=True)
    labels_U = [
        {rank: names[rank][code] for rank, code in zip(codes, row, strict=True) if code != NONE}
        for row in rows_UR.tolist()
    ]
    return labels_U, row_N.reshape(-1)


def _numbered(
    ranks: Sequence[str],
    labels_U: Sequence[Mapping[str, str]],
    row_N: NDArray[np.int64],
    homonyms: Homonyms,
    declared: Sequence[str],
) -> tuple[dict[str, dict[ClassKey, int]], dict[str, NDArray[np.int64]]]:
    above = ranks_above(declared)
    keys: dict[str, dict[ClassKey, int]] = {rank: {} for rank in ranks}
    codes: dict[str, NDArray[np.int64]] = {}
    for rank in ranks:
        numbers = keys[rank]
        code_U = [
            numbers.setdefault(class_key(labels, rank, homonyms, above), len(numbers)) if rank in labels else NONE
            for labels in labels_U
        ]
        codes[rank] = np.array(code_U, np.int64)[row_N]
    return keys, codes


def read_classes(items: EvaluatedItems, declared: Sequence[str]) -> Classes:
    """The classes of the items of a catalogue whose ranks are called so, finest first."""
    ranks = list(items.codes)
    num_items = len(items.ids)
    if not ranks:
        return Classes(tuple(declared), {}, {}, {}, np.full(num_items, NONE), np.zeros(0), {})
    labels_U, row_N = _distinct_labels(items.names, items.codes)
    homonyms = find_homonyms(labels_U, declared)
    keys, codes = _numbered(ranks, labels_U, row_N, homonyms, declared)
    finest: dict[tuple[str, str], int] = {}
    finest_U = [finest.setdefault(next(iter(labels.items())), len(finest)) if labels else NONE for labels in labels_U]
    finest_N = np.array(finest_U, np.int64)[row_N]
    size_by_finest = np.bincount(finest_N[finest_N != NONE], minlength=len(finest)).astype(np.float64)
    sizes: dict[str, dict[str, int]] = {}
    for (rank, name), number in finest.items():
        sizes.setdefault(rank, {})[name] = int(size_by_finest[number])
    return Classes(tuple(declared), homonyms, keys, codes, finest_N, size_by_finest, sizes)
