"""The local features of a catalogue of a folder: what the rest of the program asks of the tables of `local_rows`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from index.answers.local_features import STAMP_BYTES, LocalFeatures, unpack
from index.answers.local_rows import DROP, TABLES, is_current, keeps_local
from index.answers.patch_projection import PatchProjection
from index.connections import Connections

_CHUNK = 500  # ids in one SQL statement
_PICTURE = "row, id, source, content_hash"


@dataclass(frozen=True)
class PictureOfItem:
    """An item, and where its picture was."""

    row: int
    id: str
    source: str
    content_hash: str


class LocalTable:
    """The local features of a catalogue. Any number of threads may use it; each call is one transaction.

    Args:
        connections: to the catalogue's database.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._projection: tuple[bytes, PatchProjection] | None = None  # the last one read, and its stamp

    def projection(self) -> PatchProjection | None:
        """The projection that the features were made with; None where the catalogue keeps none."""
        stamp = self._value("stamp")
        if stamp is None:
            return None
        known = self._projection
        if known is None or known[0] != stamp:
            blob = self._value("projection")
            if blob is None:
                return None
            # If another came between the two reads, the stamp of this one is old, and the next call reads again.
            known = (stamp, PatchProjection.loads(blob))
            self._projection = known  # assigning is atomic; two threads that read it at once read the same
        return known[1]

    def create(self, projection: PatchProjection) -> None:
        """Make the tables, empty, in place of those that are there."""
        with self._connections.writing() as connection:
            for statement in (*DROP, *TABLES):
                connection.execute(statement)
            stamp = projection.stamp.to_bytes(STAMP_BYTES, "little")
            connection.execute("INSERT INTO local_meta VALUES ('projection', ?)", (projection.dumps(),))
            connection.execute("INSERT INTO local_meta VALUES ('stamp', ?)", (stamp,))

    def count(self) -> int:
        """The number of items with features."""
        with self._connections.reading() as connection:
            return keeps_local(connection) and int(connection.execute("SELECT COUNT(*) FROM local").fetchone()[0])

    def lacking(self, after_row: int, limit: int) -> list[PictureOfItem]:
        """The first items after a row that have no features; the table has to be there."""
        with self._connections.reading() as connection:
            found = connection.execute(
                f"SELECT {_PICTURE} FROM item WHERE deleted = 0 AND row > ? "
                "AND NOT EXISTS (SELECT 1 FROM local WHERE local.row = item.row) ORDER BY row LIMIT ?",
                (after_row, limit),
            ).fetchall()
        return [PictureOfItem(*columns) for columns in found]

    def sample(self, num: int) -> list[PictureOfItem]:
        """So many items, or all. Hashes of contents are as good as random, and give the same ones every time."""
        with self._connections.reading() as connection:
            found = connection.execute(
                f"SELECT {_PICTURE} FROM item WHERE deleted = 0 ORDER BY content_hash, row LIMIT ?", (num,)
            ).fetchall()
        return [PictureOfItem(*columns) for columns in found]

    def put(self, rows_and_blobs: Sequence[tuple[int, bytes]]) -> int:
        """Store features of rows, and return of how many: what was deleted, or made with another projection, is not."""
        with self._connections.writing() as connection:
            stored = 0
            for row, blob in rows_and_blobs:
                if is_current(connection, blob):
                    stored += connection.execute(
                        "INSERT OR REPLACE INTO local SELECT row, ? FROM item WHERE row = ? AND deleted = 0",
                        (blob, row),
                    ).rowcount
        return stored

    def read(self, ids: Sequence[str]) -> dict[str, LocalFeatures]:
        """Features of items by their ids; an item without any is left out.

        Raises:
            CatalogueCorruptError: they cannot be read.
        """
        blobs: dict[str, bytes] = {}
        with self._connections.reading() as connection:
            if keeps_local(connection):
                for start in range(0, len(ids), _CHUNK):
                    chunk = ids[start : start + _CHUNK]
                    blobs.update(
                        connection.execute(
                            "SELECT id, features FROM item JOIN local USING (row) "
                            f"WHERE deleted = 0 AND id IN ({','.join('?' * len(chunk))})",
                            list(chunk),
                        )
                    )
        return dict(zip(blobs, unpack(list(blobs.values())), strict=True))

    def fit(self) -> dict[str, Any] | None:
        """What `index.answers.rerank_fit` found, as it was kept; None where nothing was fitted."""
        blob = self._value("fit")
        return None if blob is None else json.loads(blob)

    def keep_fit(self, document: dict[str, Any]) -> None:
        """Keep what was fitted."""
        with self._connections.writing() as connection:
            connection.execute("REPLACE INTO local_meta VALUES ('fit', ?)", (json.dumps(document).encode(),))

    def _value(self, key: str) -> bytes | None:
        with self._connections.reading() as connection:
            if not keeps_local(connection):
                return None
            found = connection.execute("SELECT value FROM local_meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else bytes(found[0])
