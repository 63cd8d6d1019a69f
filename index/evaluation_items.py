"""The items of a catalogue as an evaluation needs them: labels as numbers, ids packed, vectors in a file.

Read as of one moment that is let go of once they are copied, so that writers are not held up while the evaluation goes
on. At a million items they take some 60 bytes each in memory, whatever their labels are called.
"""

# N items.

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.catalogue import Catalogue
from index.vector_file import VectorFile, write_vectors

NONE = -1  # instead of the number of a label


class Ids:
    """Ids by position, end to end in one block: a Python object for each of a million would weigh three times that."""

    def __init__(self) -> None:
        self._text, self._ends = bytearray(), array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, position: int) -> str:
        return self._text[self._ends[position] : self._ends[position + 1]].decode()

    def add(self, item_id: str) -> None:
        """Add the id of the next position."""
        self._text += item_id.encode()
        self._ends.append(len(self._text))


@dataclass(frozen=True)
class EvaluatedItems:
    """Items in the order in which they came into the catalogue.

    Attributes:
        ids: of each.
        vectors: of each.
        names: of the labels of each rank, by number; the catalogue's ranks first.
        codes: of each rank, the number of each item's label, NONE for none; shape (N,), int32. Copies have none.
        num_copies: items whose content an earlier item has. They are left out, as questions and as answers: finding
            one's own copy is no achievement.
        num_contradictions: of those, that are labelled otherwise than the first.
        num_unlabelled: items without any label.
        copy_N: which are copies. Shape (N,), bool.
        group_N: number of each item's value of the metadata field that was asked for, NONE for none; None if no field
            was. Shape (N,), int32.
    """

    ids: Ids
    vectors: VectorFile
    names: dict[str, list[str]]
    codes: dict[str, NDArray[np.int32]]
    num_copies: int
    num_contradictions: int
    num_unlabelled: int
    copy_N: NDArray[np.bool_]
    group_N: NDArray[np.int32] | None = None


class Labels:
    """Numbers the labels of items as they come."""

    def __init__(self) -> None:
        self.count = self.num_unlabelled = 0
        self.numbers: dict[str, dict[str, int]] = {}
        self.codes: dict[str, array[int]] = {}

    def add(self, labels: dict[str, str]) -> None:
        """Number the labels of the next item."""
        for rank in labels:
            if rank not in self.codes:
                self.numbers[rank], self.codes[rank] = {}, array("i", [NONE]) * self.count
        for rank, codes in self.codes.items():
            numbers = self.numbers[rank]
            codes.append(numbers.setdefault(labels[rank], len(numbers)) if rank in labels else NONE)
        self.count += 1
        self.num_unlabelled += not labels


def read_items(catalogue: Catalogue, filter: str | None, folder: Path, group: str | None = None) -> EvaluatedItems:
    """Read the items that a filter lets through; their vectors go into a file in `folder`.

    Args:
        catalogue: that has them.
        filter: which; None for all.
        folder: for the vectors.
        group: metadata field that says which items belong together; None for none.

    Raises:
        FilterError: the filter cannot be read, or names a field that no item has.
    """
    ids, labels, groups, contents = Ids(), Labels(), Labels(), array("Q")

    def numbered_vectors() -> Iterator[tuple[int, bytes]]:
        for record in catalogue.records(filter, thumbnails=False):
            ids.add(record.item.id)
            labels.add(record.item.labels)
            if group is not None:
                value = record.item.metadata.get(group)
                groups.add({} if value is None else {group: str(value)})
            # Eight bytes of hash: two of a million differing contents meet once in thirty million catalogues. Of an
            # item that came without its picture nothing is known: it is nobody's copy.
            content = record.item.content_hash or f"item {len(ids)}"
            contents.append(int.from_bytes(blake2b(content.encode(), digest_size=8).digest(), "little"))
            yield len(ids), record.vector

    path = folder / "vectors.bin"
    num_items = len(write_vectors(path, numbered_vectors()))
    codes = {rank: np.array(codes, np.int32) for rank, codes in labels.codes.items()}
    copies_N, first_N = _copies(np.array(contents, np.uint64))
    contradicts_N = np.zeros(num_items, np.bool_)
    for codes_N in codes.values():
        contradicts_N |= (codes_N != codes_N[first_N]) & (codes_N != NONE) & (codes_N[first_N] != NONE)
        codes_N[copies_N] = NONE
    ranks = [
        *(rank for rank in catalogue.ranks if rank in codes),
        *(rank for rank in codes if rank not in catalogue.ranks),
    ]
    return EvaluatedItems(
        ids=ids,
        vectors=VectorFile(path, num_items, catalogue.manifest.embedding_dim),
        names={rank: list(labels.numbers[rank]) for rank in ranks},
        codes={rank: codes[rank] for rank in ranks},
        num_copies=int(copies_N.sum()),
        num_contradictions=int(contradicts_N.sum()),
        num_unlabelled=labels.num_unlabelled,
        copy_N=copies_N,
        group_N=np.array(groups.codes[group], np.int32) if group in groups.codes else None,
    )


def _copies(contents_N: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which items repeat the content of an earlier one, and the position of the first with each one's content."""
    _, firsts, groups_N = np.unique(contents_N, return_index=True, return_inverse=True)
    first_N: NDArray[np.int64] = firsts[groups_N]
    return first_N != np.arange(len(contents_N)), first_N
