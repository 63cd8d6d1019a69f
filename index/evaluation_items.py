"""The items of a catalogue as an evaluation needs them: labels as numbers, vectors in a file, nothing else.

Read in one transaction that is left once they are copied, so that writers are not held up while it goes on; at a
million items they take about 40 bytes each in memory, whatever their labels are called.
"""

# N items.

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.catalogue import Catalogue
from index.filter_parser import parse_filter
from index.filter_sql import SqlCondition
from index.following import reading
from index.vector_file import VectorFile, write_vectors

NONE = -1  # instead of the number of a label


@dataclass(frozen=True)
class EvaluatedItems:
    """Items in the order of their rows.

    Attributes:
        rows_N: of the catalogue, ascending.
        vectors: of each.
        names: of the labels of each rank, by number; the catalogue's ranks first.
        codes: of each rank, the number of each item's label, NONE for none; shape (N,), int32. Copies have none.
        num_copies: items whose content an earlier item has. They are left out, as questions and as answers: finding
            one's own copy is no achievement.
        num_contradictions: of those, that are labelled otherwise than the first.
        num_unlabelled: items without any label.
    """

    rows_N: NDArray[np.int64]
    vectors: VectorFile
    names: dict[str, list[str]]
    codes: dict[str, NDArray[np.int32]]
    num_copies: int
    num_contradictions: int
    num_unlabelled: int


class _Labels:
    """Numbers the labels of items as they come."""

    def __init__(self) -> None:
        self.count = self.num_unlabelled = 0
        self.numbers: dict[str, dict[str, int]] = {}
        self.codes: dict[str, array[int]] = {}

    def add(self, labels: dict[str, str]) -> None:
        for rank in labels.keys() - self.codes.keys():
            self.numbers[rank], self.codes[rank] = {}, array("i", [NONE]) * self.count
        for rank, codes in self.codes.items():
            numbers = self.numbers[rank]
            codes.append(numbers.setdefault(labels[rank], len(numbers)) if rank in labels else NONE)
        self.count += 1
        self.num_unlabelled += not labels


def read_items(catalogue: Catalogue, filter: str | None, folder: Path) -> EvaluatedItems:
    """Read the items that a filter lets through; their vectors go into a file in `folder`.

    Raises:
        FilterError: the filter cannot be read, or names a field that no item has.
    """
    catalogue.count(filter)  # checks the names of the filter
    condition = SqlCondition(parse_filter(filter).condition) if filter is not None else None
    where, parameters = (condition.sql, condition.parameters) if condition is not None else ("TRUE", {})
    labels, contents = _Labels(), array("Q")

    def rows_and_blobs() -> Iterator[tuple[int, bytes]]:
        with reading(catalogue.path) as connection:
            for row, text, content_hash, vector in connection.execute(
                "SELECT row, labels, content_hash, vector FROM item JOIN embedding USING (row) "
                f"WHERE deleted = 0 AND {where} ORDER BY row",
                parameters,
            ):
                labels.add(json.loads(text))
                # Eight bytes of hash: two of a million differing contents meet once in thirty million catalogues.
                content = content_hash or f"row {row}"  # of an item that came without its picture nothing is known
                contents.append(int.from_bytes(blake2b(content.encode(), digest_size=8).digest(), "little"))
                yield row, vector

    path = folder / "vectors.bin"
    rows_N = write_vectors(path, rows_and_blobs())
    codes = {rank: np.array(codes, np.int32) for rank, codes in labels.codes.items()}
    copies_N, first_N = _copies(np.array(contents, np.uint64))
    contradicts_N = np.zeros(len(rows_N), np.bool_)
    for codes_N in codes.values():
        contradicts_N |= (codes_N != codes_N[first_N]) & (codes_N != NONE) & (codes_N[first_N] != NONE)
        codes_N[copies_N] = NONE
    ranks = [
        *(rank for rank in catalogue.ranks if rank in codes),
        *(rank for rank in codes if rank not in catalogue.ranks),
    ]
    return EvaluatedItems(
        rows_N=rows_N,
        vectors=VectorFile(path, len(rows_N), catalogue.manifest.embedding_dim),
        names={rank: list(labels.numbers[rank]) for rank in ranks},
        codes={rank: codes[rank] for rank in ranks},
        num_copies=int(copies_N.sum()),
        num_contradictions=int(contradicts_N.sum()),
        num_unlabelled=labels.num_unlabelled,
    )


def _copies(contents_N: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which items repeat the content of an earlier one, and the position of the first with each one's content."""
    _, firsts, groups_N = np.unique(contents_N, return_index=True, return_inverse=True)
    first_N: NDArray[np.int64] = firsts[groups_N]
    return first_N != np.arange(len(contents_N)), first_N
