"""What every catalogue promises, wherever it is stored.

A catalogue holds pictures' ids, labels, metadata, embeddings and thumbnails, answers searches over them, and remembers
the encoder that filled it. Two stores keep the promise: `index.sqlite_catalogue`, a folder of this machine, and
`index.milvus.catalogue`, a Milvus server for what is larger than one machine. `index.open_catalogue` opens either from
what a person typed. What only one of them can do (snapshots, compaction) is not here.
"""

# Q queries, D embedding dim.

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from encoder.bundle import Bundle
from encoder.manifest import Manifest
from index.items import CatalogueStats, Item, ItemPage, Match, NewItem, Record
from index.label_tally import Tally

MAX_K = 1000


class Catalogue(Protocol):
    """An open catalogue. Use as a context manager, or call `close`. Any number of threads may use it.

    A write is there when its call returns, and visible to the next search of every process that has it open.

    Attributes:
        path: the folder of this machine that it lies in, or that names its store; rejected.csv and locks are there.
        manifest: of the encoder that filled it.
        bundle_path: where that was at the last bulk run.
        ranks: names of the label ranks, finest first, as of opening.
        variant: of the encoder, by which it was filled.
        domain: what its pictures are, if that is known; see `index.domain`.
    """

    path: Path
    manifest: Manifest
    bundle_path: Path
    ranks: tuple[str, ...]
    variant: str
    domain: str | None

    def __enter__(self) -> Self:
        """The catalogue, to be closed at the end of the block."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""

    def close(self) -> None:
        """Let go of files and connections."""

    def find_bundle(self, given: Path | None = None) -> Bundle:
        """The bundle that filled the catalogue: the given one, or where it was then.

        Raises:
            BundleNotFoundError: it has moved.
            EncoderMismatchError: the given one is another.
        """

    def choose_variant(self, bundle: Bundle, wanted: str | None) -> str:
        """The variant to embed with: the wanted one, or the one that filled the catalogue.

        Raises:
            BundleNotFoundError: the bundle has no such variant.
            EncoderMismatchError: the wanted one's embeddings may not be compared with those in the catalogue.
        """

    def remember(self, *, bundle_path: Path, ranks: Sequence[str] = ()) -> None:
        """Keep where the bundle is now and, if they are given, what the label ranks are called now."""

    def put(self, items: Sequence[NewItem]) -> None:
        """Add items, or replace those whose id is already there. Of several with one id the last one counts.

        Raises:
            ValueError: an embedding has another length than the encoder's, or is not finite; an id is no UTF-8 text.
            CatalogueError: it cannot be written.
        """

    def delete(self, ids: Iterable[str]) -> int:
        """Delete items and return how many of the ids were there."""

    def search(
        self,
        queries_QD: NDArray[np.float32],
        *,
        k: int,
        exclude_ids: Iterable[str] = (),
        filter: str | None = None,
    ) -> list[list[Match]]:
        """The k nearest items of each query.

        Args:
            queries_QD: of length 1, float32, shape (Q, D).
            k: 1 to 1000; there are fewer matches where the catalogue has fewer items.
            exclude_ids: items that may not be found.
            filter: which items may be found, as in `genus == "Vanessa" and year >= 2010`; see
                `index.filter_expression`. None for all.

        Returns:
            For each query its matches, best first.

        Raises:
            FilterError: the filter cannot be read, or names a field that no item has.
            ValueError: k or the shape of the queries is wrong, or they hold a number that is not finite.
        """

    def get(self, item_id: str) -> Item | None:
        """One item, or None."""

    def by_content(self, content_hash: str) -> tuple[NDArray[np.float32], bytes] | None:
        """Embedding and thumbnail of an item with that content, or None."""

    def thumbnail(self, item_id: str) -> bytes | None:
        """The item's thumbnail as a WebP file, or None if there is no such item."""

    def embedding(self, item_id: str) -> NDArray[np.float32]:
        """The item's embedding, of length 1, float32, shape (D,).

        Raises:
            NotFoundError: there is no such item.
        """

    def items(self, cursor: str | None = None, limit: int = 100, filter: str | None = None) -> ItemPage:
        """A page of items in the order of their ids, those after `cursor`.

        Raises:
            FilterError: the filter cannot be read, or names a field that no item has.
        """

    def count(self, filter: str | None = None) -> int:
        """The number of items that a filter lets through.

        Raises:
            FilterError: the filter cannot be read, or names a field that no item has.
        """

    def ids(self) -> Iterator[str]:
        """The ids of all items, in no particular order."""

    def labels(self) -> Tally:
        """How many items carry each label: rank -> label -> number, the ranks finest first. Not to be changed."""

    def records(self, filter: str | None = None, *, thumbnails: bool = True) -> Iterator[Record]:
        """The items that a filter lets through with their wide values, a few in memory at a time.

        Args:
            filter: which items; None for all.
            thumbnails: whether those are wanted.

        Raises:
            FilterError: the filter cannot be read, or names a field that no item has.
        """

    def stats(self) -> CatalogueStats:
        """What is in the catalogue."""


def check_search(queries_QD: NDArray[np.float32], k: int, dim: int) -> NDArray[np.float32]:
    """The queries of a search, contiguous, once they and k are seen to be as every store wants them.

    Raises:
        ValueError: they are not.
    """
    if not 1 <= k <= MAX_K:
        raise ValueError(f"k is {k}, expected 1 to {MAX_K}")
    if queries_QD.ndim != 2 or queries_QD.shape[1] != dim:
        raise ValueError(f"queries have shape {queries_QD.shape}, expected (Q, {dim})")
    if not np.isfinite(queries_QD).all():
        raise ValueError("a query holds a number that is not finite")
    return np.ascontiguousarray(queries_QD, dtype=np.float32)
