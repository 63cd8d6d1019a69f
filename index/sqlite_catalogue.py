"""A catalogue in a folder of this machine.

SQLite holds the truth; a FAISS snapshot is a cache of it. Every write is one transaction and visible to the next
search of every process that has the catalogue open. A search is the snapshot without what has been removed, merged
with an exact scan of what has come since. Searches run from any number of threads; writers wait for each other.
"""

# Q queries, D embedding dim.

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.bundle import Bundle
from encoder.errors import CatalogueError, NotFoundError
from index.ann_wishes import IndexWishes
from index.answers.local_table import LocalTable
from index.catalogue import check_search
from index.connections import Connections
from index.faults import database_faults
from index.filled import Filled, filled_by
from index.filter_fields import KnownFields
from index.filter_parser import parse_filter
from index.filter_rows import FilterRows
from index.filter_sql import SqlCondition
from index.following import Follower, last_seq, reading
from index.items import CatalogueStats, Item, ItemPage, Match, NewItem, Record
from index.label_tally import LabelTally, Tally, in_rank_order
from index.locks import compacting_alone
from index.row_set import RowSet
from index.rows import (
    catalogue_ranks,
    facts_of_rows,
    insert,
    items_after,
    items_of_rows,
    live_row,
    read_labels,
    read_metadata,
    records,
    relabel,
    remove,
)
from index.schema import DATABASE_NAME, connect, create
from index.snapshot import SnapshotInfo
from index.snapshot_build import build_snapshot, remove_other_snapshots
from index.sqlite_stats import stats_of
from index.vector_file import SnapshotDamagedError
from index.vectors import pack, unpack
from index.view import View


class SqliteCatalogue(Filled):
    """An open catalogue of a folder; see `index.catalogue`.

    Attributes:
        path: the folder.
        local: the local features of its items.
    """

    def __init__(self, path: Path, meta: dict[str, str]) -> None:
        super().__init__(str(path), meta)
        self.path = path
        self._fields = KnownFields()
        self._filter_rows = FilterRows(self._fields)
        self._tally = LabelTally()
        self._connections = Connections(path)
        self.local = LocalTable(self._connections)
        try:
            self._follower = Follower(path, self.manifest.embedding_dim)
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(
        cls,
        path: Path,
        bundle: Bundle,
        *,
        variant: str = "fp32",
        ranks: Sequence[str] = (),
        domain: str | None = None,
    ) -> "SqliteCatalogue":
        """Make an empty catalogue for the embeddings of a bundle's variant.

        Raises:
            BundleNotFoundError: the bundle has no such variant.
            CatalogueError: something is already at `path`.
        """
        if (path / DATABASE_NAME).exists() or (path.exists() and not path.is_dir()):
            raise CatalogueError(f"{path} exists already; open it, or choose another path")
        create(path, filled_by(bundle, variant=variant, ranks=ranks, domain=domain))
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, encoder_id: str | None = None) -> "SqliteCatalogue":
        """Open a catalogue, for the encoder with that id if one is given.

        Raises:
            CatalogueNotFoundError: there is none at `path`.
            EncoderMismatchError: another encoder filled it; the message has the command that mends it.
            SchemaVersionError: a newer version of this program wrote it.
            CatalogueCorruptError: its database is damaged.
        """
        connection = connect(path)
        try:
            with database_faults(path):
                meta: dict[str, str] = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        finally:
            connection.close()
        with database_faults(path):
            catalogue = cls(path, meta)
        try:
            catalogue.check_encoder(encoder_id)
        except BaseException:
            catalogue.close()
            raise
        return catalogue

    def close(self) -> None:
        """Close the database connections of all threads."""
        follower: Follower | None = getattr(self, "_follower", None)  # None where opening failed
        if follower is not None:
            follower.close()
        self._connections.close()

    # Writing: each call is one transaction.

    def remember(self, *, bundle_path: Path, ranks: Sequence[str] = ()) -> None:
        """Keep where the bundle is now and, if they are given, what the label ranks are called now."""
        news = self._news(bundle_path, ranks)
        if not news:
            return
        with self._connections.writing() as connection:
            connection.executemany("REPLACE INTO meta (key, value) VALUES (?, ?)", news.items())
        self.bundle_path, self.ranks = bundle_path.absolute(), tuple(ranks) or self.ranks

    def put(self, items: Sequence[NewItem]) -> None:
        """Add items, or replace those whose id is already there. Of several with one id the last one counts.

        Raises:
            ValueError: an embedding has another length than the encoder's, or is not finite; an id is no UTF-8 text.
            CatalogueBusyError: another process kept writing.
            CatalogueError: the disk is full, or the file cannot be written.
        """
        blobs = [pack(item.embedding, self.manifest.embedding_dim) for item in items]
        with self._connections.writing() as connection:
            ranks = catalogue_ranks(connection)
            for item, blob in zip(items, blobs, strict=True):
                insert(connection, item, blob, ranks)

    def delete(self, ids: Iterable[str]) -> int:
        """Delete items and return how many of the ids were there."""
        with self._connections.writing() as connection:
            return sum(remove(connection, item_id) for item_id in ids)

    def relabel(
        self, ids: Iterable[str], labels: Mapping[str, str], unset: frozenset[str] = frozenset()
    ) -> tuple[int, list[str]]:
        """Give items labels, and take those of some ranks away; all else stays as it is at that moment.

        Returns:
            How many items are labelled otherwise now, and the ids of which there is no item.
        """
        with self._connections.writing() as connection:
            ranks = catalogue_ranks(connection)
            changed = [(item_id, relabel(connection, item_id, labels, unset, ranks)) for item_id in ids]
        return sum(bool(one) for _, one in changed), [item_id for item_id, one in changed if one is None]

    def wish(self, wishes: IndexWishes) -> None:
        """Keep what the index shall be chosen by, from the next compaction on.

        Raises:
            ConfigError: FAISS does not know the factory string.
        """
        wishes.check_factory(self.manifest.embedding_dim)
        with self._connections.writing() as connection:
            connection.execute("REPLACE INTO meta (key, value) VALUES ('index', ?)", (wishes.dumps(),))

    def wishes(self) -> IndexWishes:
        """What the index is chosen by."""
        with self._connections.reading() as connection:
            found = connection.execute("SELECT value FROM meta WHERE key = 'index'").fetchone()
        return IndexWishes.loads(found[0] if found else None)

    def compact(self) -> SnapshotInfo:
        """Build a snapshot of everything, publish it, and remove the older ones.

        Searches and writes go on meanwhile; a compaction of another process is waited for.

        Raises:
            CatalogueError: the snapshot cannot be written.
            ConfigError: FAISS cannot build the index that was wished for of these vectors.
        """
        wishes = self.wishes()
        with compacting_alone(self.path):
            info = build_snapshot(self.path, self._stored, self.manifest.embedding_dim, wishes)
            remove_other_snapshots(self.path, keep=info.seq)
        self._follower.reload()
        return info

    @contextmanager
    def _stored(self) -> Iterator[tuple[int, Iterable[tuple[int, bytes]]]]:
        """The last change, and rows and packed embeddings as of it."""
        with reading(self.path) as connection:
            yield last_seq(connection), connection.execute("SELECT row, vector FROM embedding ORDER BY row")

    # Reading.

    def search(
        self,
        queries_QD: NDArray[np.float32],
        *,
        k: int,
        exclude_ids: Iterable[str] = (),
        filter: str | None = None,
    ) -> list[list[Match]]:
        """The k nearest items of each query; see `index.catalogue`."""
        queries_QD = check_search(queries_QD, k, self.manifest.embedding_dim)
        unwanted = frozenset(exclude_ids)
        asked = parse_filter(filter) if filter is not None else None
        answer: list[list[Match]] | None = None
        while answer is None:
            with self._connections.reading() as connection:
                seq = last_seq(connection)
                view = self._follower.view(seq, connection)
                if view.seq > seq:
                    continue  # another thread has moved it on meanwhile: this transaction does not see its items
                try:
                    wanted = self._filter_rows.rows(connection, asked, seq) if asked is not None else None
                    answer = _matches(connection, view, queries_QD, k, unwanted, wanted)
                except SnapshotDamagedError as fault:
                    self._follower.distrust(view, fault)
        return answer

    def get(self, item_id: str) -> Item | None:
        """One item, or None."""
        with self._connections.reading() as connection:
            row = live_row(connection, item_id)
            return None if row is None else items_of_rows(connection, [row])[row]

    def by_content(self, content_hash: str) -> tuple[NDArray[np.float32], bytes] | None:
        """Embedding and thumbnail of an item with that content, or None."""
        with self._connections.reading() as connection:
            found = connection.execute(
                "SELECT vector, picture FROM item JOIN embedding USING (row) JOIN thumbnail USING (row) "
                "WHERE content_hash = ? AND deleted = 0 LIMIT 1",
                (content_hash,),
            ).fetchone()
        return None if found is None else (unpack([found[0]], self.manifest.embedding_dim)[0], found[1])

    def thumbnail(self, item_id: str) -> bytes | None:
        """The item's thumbnail as a WebP file, or None if there is no such item."""
        with self._connections.reading() as connection:
            row = live_row(connection, item_id)
            found = connection.execute("SELECT picture FROM thumbnail WHERE row = ?", (row,)).fetchone()
        return None if found is None else found[0]

    def embedding(self, item_id: str) -> NDArray[np.float32]:
        """The item's embedding, float32, shape (D,).

        Raises:
            NotFoundError: there is no such item.
        """
        with self._connections.reading() as connection:
            row = live_row(connection, item_id)
            found = connection.execute("SELECT vector FROM embedding WHERE row = ?", (row,)).fetchone()
        if found is None:
            raise NotFoundError(f"the catalogue has no item {item_id[:200]!a}")
        embedding_D: NDArray[np.float32] = unpack([found[0]], self.manifest.embedding_dim)[0]
        return embedding_D

    def items(self, cursor: str | None = None, limit: int = 100, filter: str | None = None) -> ItemPage:
        """A page of items in the order of their ids, those after `cursor`.

        Raises:
            FilterError: the filter cannot be read, or names a field that no item has.
        """
        asked = parse_filter(filter) if filter is not None else None
        with self._connections.reading() as connection:
            if asked is not None:
                self._fields.check(connection, asked)
            condition = SqlCondition(asked.condition) if asked is not None else None
            items = items_after(connection, cursor or "", limit + 1, condition)
        return ItemPage(items[:limit], items[limit - 1].id if len(items) > limit else None)

    def count(self, filter: str | None = None) -> int:
        """The number of items that a filter lets through.

        Raises:
            FilterError: the filter cannot be read, or names a field that no item has.
        """
        asked = parse_filter(filter) if filter is not None else None
        view = self.refresh()
        with self._connections.reading() as connection:
            if asked is not None:
                return len(self._filter_rows.rows(connection, asked, view.seq))
            (number,) = connection.execute("SELECT COUNT(*) FROM item WHERE deleted = 0").fetchone()
            return int(number)

    def ids(self) -> Iterator[str]:
        """The ids of all items, in no particular order."""
        with reading(self.path) as connection:
            for (item_id,) in connection.execute("SELECT id FROM item WHERE deleted = 0"):
                yield item_id

    def labels(self) -> Tally:
        """How many items carry each label; see `index.catalogue`. Goes through all items once, then through changes."""
        with self._connections.reading() as connection:
            return in_rank_order(self._tally.now(connection), catalogue_ranks(connection))

    def records(self, filter: str | None = None, *, thumbnails: bool = True) -> Iterator[Record]:
        """As `Catalogue.records`, all as of one moment, in the order in which they came."""
        asked = parse_filter(filter) if filter is not None else None
        with reading(self.path) as connection:
            if asked is not None:
                self._fields.check(connection, asked)
            condition = SqlCondition(asked.condition) if asked is not None else None
            yield from records(connection, condition, thumbnails=thumbnails)

    def stats(self) -> CatalogueStats:
        """What is in the catalogue. Counts labels: goes through all items once, then through changes."""
        view = self.refresh()
        with self._connections.reading() as connection:
            return stats_of(self, self.path, connection, view, self._tally.now(connection))

    def refresh(self) -> View:
        """Take in what other processes and threads have written, and return the present view."""
        with self._connections.reading() as connection:
            return self._follower.view(last_seq(connection), connection)


def _matches(
    connection: sqlite3.Connection,
    view: View,
    queries_QD: NDArray[np.float32],
    k: int,
    unwanted: frozenset[str],
    wanted: RowSet | None,
) -> list[list[Match]]:
    """What a view finds, as items; the connection is in a transaction of the same change."""
    rows = (live_row(connection, item_id) for item_id in unwanted)
    found = view.search(queries_QD, k, frozenset(row for row in rows if row is not None), wanted)
    facts = facts_of_rows(connection, sorted({row for hits in found for row, _ in hits}))
    answer = []
    for hits in found:
        ranked = sorted((-score, *facts[row]) for row, score in hits)  # equal scores by id
        answer.append(
            [
                Match(item_id, -minus, read_labels(labels), read_metadata(data))
                for minus, item_id, labels, data in ranked
            ]
        )
    return answer
