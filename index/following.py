"""How a process keeps its view of a catalogue: loaded once, then moved along the list of changes.

A change costs what it brings. A newer snapshot of another process is noticed at a search within a second, loaded in a
thread of its own while searches go on, and put in place of the older one between two of them.
"""

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encoder.errors import CatalogueError
from encoder.shell_words import path_word
from index.faults import database_faults
from index.schema import connect
from index.snapshot import ANN_DIR, Snapshot, load_snapshot, newest_snapshot
from index.tail import Tail
from index.vector_file import SnapshotDamagedError
from index.vectors import read_vectors
from index.view import View

logger = logging.getLogger(__name__)

LOOK_S = 1.0


class Follower:
    """The view of one process. Any number of threads may ask for it.

    Args:
        path: folder of the catalogue.
        dim: of its embeddings.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self._path, self._dim = path, dim
        self._lock = threading.Lock()  # of those who move the view
        self._loading: threading.Thread | None = None
        self._looked, self._seen = time.monotonic(), _changed(path)
        self._view = load_view(path, dim)

    def view(self, seq: int, connection: sqlite3.Connection) -> View:
        """A view as of change `seq` or later.

        Args:
            seq: the last change that `connection` sees.
            connection: inside a read transaction. It is the caller's, because opening one here would take ten times as
                long as following a change does, and all other threads that search wait for that.
        """
        self._look()
        view = self._view
        if view.seq >= seq:
            return view
        with self._lock:
            if self._view.seq < seq:
                self._view = follow(self._view, connection, self._dim)
            return self._view

    def reload(self) -> None:
        """Take up the newest snapshot."""
        fresh = load_view(self._path, self._dim)
        with self._lock:
            if fresh.snapshot_seq >= self._view.snapshot_seq or self._view.snapshot is None:
                with reading(self._path) as connection:  # what was written while it was loaded
                    self._view = follow(fresh, connection, self._dim)

    def distrust(self, view: View, fault: SnapshotDamagedError) -> None:
        """Search the truth instead of a view's snapshot, which turned out to be damaged, until there is another."""
        with self._lock:
            if self._view.snapshot is view.snapshot:
                _warn(self._path, fault)
                self._view = load_truth(self._path, self._dim)

    def close(self) -> None:
        """Wait for a snapshot that is being loaded."""
        if self._loading is not None:
            self._loading.join()

    def _look(self) -> None:
        """Once a second: if the folder of snapshots has changed and holds a newer one, load that in a thread."""
        now = time.monotonic()
        if now - self._looked < LOOK_S or (self._loading is not None and self._loading.is_alive()):
            return
        self._looked = now
        changed = _changed(self._path)
        if changed == self._seen:
            return
        self._seen = changed
        if (newest_snapshot(self._path) or 0) > self._view.snapshot_seq:
            self._loading = threading.Thread(target=self._load, name="lodisc-snapshot", daemon=True)
            self._loading.start()

    def _load(self) -> None:
        try:
            self.reload()
        except CatalogueError as error:
            logger.warning("a newer snapshot cannot be taken up: %s", error)


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
    """The newest snapshot that is whole, and everything else as tail; without one, the whole truth as tail.

    A snapshot ahead of the database, as after a copy of that was restored, is one of other items. It is removed before
    the database catches up with it: nobody could tell any more.
    """
    while (snapshot := _newest_whole(path, dim)) is not None:
        ahead = snapshot.info.seq
        with reading(path) as connection:  # after the snapshot was loaded, so that one of this database is never ahead
            if ahead <= last_seq(connection):
                return follow(View(ahead, snapshot, None, Tail.empty(dim)), connection, dim)
        logger.warning("snapshot %d is ahead of the database; it is removed", ahead)
        try:
            shutil.rmtree(path / ANN_DIR / str(ahead))
        except OSError as error:  # where nobody can write, nothing catches up either
            logger.warning("snapshot %d cannot be removed, and is not used: %s", ahead, error)
            break
    return load_truth(path, dim)


def load_truth(path: Path, dim: int) -> View:
    """All that the database holds, as tail: right, and slow where it is much."""
    with reading(path) as connection:
        rows_N, vectors_ND = read_vectors(connection.execute("SELECT row, vector FROM embedding ORDER BY row"), dim)
        return View(last_seq(connection), None, None, Tail.empty(dim).after(rows_N, vectors_ND, set()))


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


def _newest_whole(path: Path, dim: int) -> Snapshot | None:
    """The newest snapshot, or None if there is none or it is damaged."""
    while (newest := newest_snapshot(path)) is not None:
        try:
            return load_snapshot(path, newest, dim)
        except SnapshotDamagedError as error:
            if newest_snapshot(path) not in (None, newest):
                continue  # not damaged: another process has just published a newer one and removed this
            _warn(path, error)
            return None
    return None


def _warn(path: Path, fault: SnapshotDamagedError) -> None:
    logger.warning(
        "%s; searching the database itself until `lodisc index compact %s` has built another", fault, path_word(path)
    )


def _changed(path: Path) -> int:
    """When a snapshot was last published or removed, 0 before the first."""
    try:
        return (path / ANN_DIR).stat().st_mtime_ns
    except FileNotFoundError:
        return 0
