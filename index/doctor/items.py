"""The items of a catalogue as the doctor needs them: labels as numbers, ids packed, vectors in a file.

Read as of one moment, as for an evaluation (`index.evaluation_items`), but here copies keep their labels: that they
contradict each other is something to be told.

A name that stands under two others is two labels, as for a search, but not where nearly all of its items agree on what
is above it: the rest are wrong there, which is something to be told too.
"""

# N items, D distinct contents among them.

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.answers.classes import class_codes
from index.answers.lineages import ClassKey, Homonyms, shown_class
from index.catalogue import Catalogue
from index.doctor.ranks_together import names_of_two
from index.evaluation_items import NONE, Ids, Labels
from index.vector_file import VectorFile, write_vectors


@dataclass(frozen=True)
class DoctorItems:
    """Items in the order in which the catalogue names them.

    Attributes:
        ids: of each.
        vectors: of each.
        names: of the labels of each rank, by number; the catalogue's ranks first, finest first.
        codes: of each rank, the number of each item's label, NONE for none; shape (N,), int32.
        homonyms: of each declared rank the names that are two labels.
        classes: of each rank the labels by number, with homonyms apart.
        shown: those as people read them.
        class_codes: as `codes`, but numbers of those.
        ranks: that the catalogue declares, finest first.
        first_N: position of the first item with each one's content.
    """

    ids: Ids
    vectors: VectorFile
    names: dict[str, list[str]]
    codes: dict[str, NDArray[np.int32]]
    homonyms: Homonyms
    classes: dict[str, list[ClassKey]]
    shown: dict[str, list[str]]
    class_codes: dict[str, NDArray[np.int32]]
    ranks: tuple[str, ...]
    first_N: NDArray[np.int64]

    def distinct(self) -> NDArray[np.int64]:
        """Positions of the items whose content no earlier one has, shape (D,)."""
        return np.flatnonzero(self.first_N == np.arange(len(self.first_N)))

    def labels(self, position: int) -> dict[str, str]:
        """The labels of an item, finest rank first."""
        return {
            rank: self.names[rank][codes[position]] for rank, codes in self.codes.items() if codes[position] != NONE
        }


def read_doctor_items(catalogue: Catalogue, filter: str | None, folder: Path) -> DoctorItems:
    """Read the items that a filter lets through; their vectors go into a file in `folder`.

    Raises:
        FilterError: the filter cannot be read, or names a field that no item has.
    """
    ids, labels, contents = Ids(), Labels(), array("Q")

    def numbered_vectors() -> Iterator[tuple[int, bytes]]:
        for record in catalogue.records(filter, thumbnails=False):
            ids.add(record.item.id)
            labels.add(record.item.labels)
            # Eight bytes of hash, as for an evaluation; an item that came without its picture is nobody's copy.
            content = record.item.content_hash or f"item {len(ids)}"
            contents.append(int.from_bytes(blake2b(content.encode(), digest_size=8).digest(), "little"))
            yield len(ids), record.vector

    path = folder / "vectors.bin"
    num_items = len(write_vectors(path, numbered_vectors()))
    ranks = [rank for rank in catalogue.ranks if rank in labels.codes]
    ranks += [rank for rank in labels.codes if rank not in ranks]
    names = {rank: list(labels.numbers[rank]) for rank in ranks}
    codes = {rank: np.array(labels.codes[rank], np.int32) for rank in ranks}
    homonyms = names_of_two(names, codes, catalogue.ranks)
    classes, class_codes_N = class_codes(names, codes, catalogue.ranks, homonyms)
    _, firsts, groups_N = np.unique(np.array(contents, np.uint64), return_index=True, return_inverse=True)
    return DoctorItems(
        ids=ids,
        vectors=VectorFile(path, num_items, catalogue.manifest.embedding_dim),
        names=names,
        codes=codes,
        homonyms=homonyms,
        classes=classes,
        shown={rank: [shown_class(key) for key in keys] for rank, keys in classes.items()},
        class_codes={rank: codes_N.astype(np.int32) for rank, codes_N in class_codes_N.items()},
        ranks=tuple(catalogue.ranks),
        first_N=firsts[groups_N].astype(np.int64),
    )
