"""The connections of one process to a catalogue's database: one a thread, opened when the thread first needs it.

That of a thread that has ended is closed when the next one is opened.

They notice when the database has been replaced beneath them (`--fresh`, a deleted folder): old and new are never
mixed, and no write is acknowledged that went into a deleted file.
"""

import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encoder.errors import CatalogueError
from index.faults import database_faults
from index.schema import DATABASE_NAME, connect, transaction


class Connections:
    """The connections to the database of the catalogue at `path`.

    Raises:
        CatalogueError: as `index.schema.connect`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._lock = threading.Lock()  # of the list
        self._all: list[tuple[weakref.ref[threading.Thread], sqlite3.Connection]] = []
        self._file = _identity(path)
        self._here()  # keeps the file open, so that its inode is given to no other

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection inside one read transaction, so that several statements see one state."""
        connection = self._here()
        with database_faults(self._path):
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection inside one write transaction; see `index.schema.transaction`."""
        connection = self._here()
        with transaction(connection, self._path):
            yield connection

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            connections, self._all = self._all, []
        self._local = threading.local()
        for _, connection in connections:
            connection.close()

    def _here(self) -> sqlite3.Connection:
        if _identity(self._path) != self._file:
            raise CatalogueError(
                f"catalogue {self._path} was deleted or filled anew (--fresh) since it was opened; open it again "
                "(restart the server)"
            )
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = connect(self._path)
            self._local.connection = connection
            with self._lock:
                ended = [one for one in self._all if not _lives(one[0])]
                self._all = [one for one in self._all if one not in ended]
                self._all.append((weakref.ref(threading.current_thread()), connection))
            for _, unused in ended:
                unused.close()
        return connection


def _lives(thread: weakref.ref[threading.Thread]) -> bool:
    found = thread()
    return found is not None and found.is_alive()


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the database of a catalogue folder, None if it is gone."""
    try:
        found = (path / DATABASE_NAME).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
