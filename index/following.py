"""How a process keeps its view of a catalogue: loaded once, then moved along the list of changes."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from index.faults import database_faults
from index.schema import connect
from index.snapshot import Snapshot, SnapshotDamagedError, load_snapshot, newest_snapshot
from index.vectors import read_vectors
from index.view import View

logger = logging.getLogger(__name__)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of its own inside one read transaction, so that several statements see one state."""
    connection = connect(path)
    try:
        with database_faults(path):
            connection.execute("BEGIN")
            yield connection
    finally:
        connection.close()


def last_seq(connection: sqlite3.Connection) -> int:
    """The number of the last change, 0 before the first."""
    (seq,) = connection.execute("SELECT COALESCE(MAX(seq), 0) FROM change").fetchone()
    return int(seq)


def load_view(path: Path, dim: int) -> View:
    """The newest snapshot that is whole, and everything else as tail; without one, the whole truth as tail."""
    snapshot = _newest_whole(path, dim)
    with reading(path) as connection:
        if snapshot is not None and snapshot.info.seq > last_seq(connection):
            logger.warning("snapshot %d is ahead of the database and is not used", snapshot.info.seq)
            snapshot = None
        seq = snapshot.info.seq if snapshot else 0
        empty = View(seq, snapshot, None, np.empty(0, np.int64), np.empty((0, dim), np.float32))
        return follow(empty, connection, dim)


def _newest_whole(path: Path, dim: int) -> Snapshot | None:
    """The newest snapshot, or None if there is none or it is damaged."""
    while (newest := newest_snapshot(path)) is not None:
        try:
            return load_snapshot(path, newest, dim)
        except SnapshotDamagedError as error:
            if newest_snapshot(path) not in (None, newest):
                continue  # not damaged: another process has just published a newer one and removed this
            logger.warning(
                "%s; searching the database itself until `lodisc index compact %s` has built another", error, path
            )
            return None
    return None


def follow(view: View, connection: sqlite3.Connection, dim: int) -> View:
    """The view after all changes that it does not know yet; `connection` is inside a read transaction."""
    changes = connection.execute("SELECT row FROM change WHERE seq > ? AND kind = 'remove'", (view.seq,))
    removed = {row for (row,) in changes}
    # What was added and removed since has no vector any more, so the join leaves it out.
    rows_N, vectors_ND = read_vectors(
        connection.execute(
            "SELECT row, vector FROM change JOIN embedding USING (row) WHERE seq > ? AND kind = 'add' ORDER BY row",
            (view.seq,),
        ),
        dim,
    )
    return view.after(last_seq(connection), rows_N, vectors_ND, removed)
