"""A sorted map of names that is kept on disk, for what grows with a source and must not grow memory.

It is a temporary database of SQLite's, which is gone with the process. Keys are file names or ids: any text, also that
of a file name which is not UTF-8. The order is that of paths: part by part, as if "/" came before every other letter.
"""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from encoder.errors import SourceError
from index.text import printable

_CHUNK = 1000  # keys fetched at a time


class DiskMap:
    """Names and a printable text for each. Used by one thread at a time.

    Raises:
        SourceError: from every method, if the temporary folder is full.
    """

    def __init__(self) -> None:
        # "": a database of its own in the temporary folder, unlinked at once; a small page cache stays in memory.
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("CREATE TABLE entry (key BLOB PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
        self._connection.execute("BEGIN")  # never committed, because nobody else reads it: a commit a row costs more

    def add(self, name: str, value: str = "") -> str | None:
        """Add a name and return None; or leave it as it is, if it is there, and return its value."""
        with _faults():
            key = _key(name)
            added = self._connection.execute(
                "INSERT OR IGNORE INTO entry VALUES (?, ?)", (key, printable(value))
            ).rowcount
            return None if added else self._value(key)

    def put(self, name: str, value: str) -> None:
        """Add a name, or give it another value."""
        with _faults():
            self._connection.execute("INSERT OR REPLACE INTO entry VALUES (?, ?)", (_key(name), printable(value)))

    def get(self, name: str) -> str | None:
        """The value of a name, None if it is not there."""
        with _faults():
            return self._value(_key(name))

    def remove(self, name: str) -> None:
        """Forget a name."""
        with _faults():
            self._connection.execute("DELETE FROM entry WHERE key = ?", (_key(name),))

    def items(self) -> Iterator[tuple[str, str]]:
        """Names and values in order; the map may be changed meanwhile."""
        last = b""
        while True:
            with _faults():
                found = self._connection.execute(
                    "SELECT key, value FROM entry WHERE key > ? ORDER BY key LIMIT ?", (last, _CHUNK)
                ).fetchall()
            for key, value in found:
                yield os.fsdecode(key.replace(b"\0", b"/")), value
            if len(found) < _CHUNK:
                return
            last = found[-1][0]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.items())

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __len__(self) -> int:
        with _faults():
            (count,) = self._connection.execute("SELECT COUNT(*) FROM entry").fetchone()
        return int(count)

    def close(self) -> None:
        """Give the disk space back."""
        self._connection.close()

    def __enter__(self) -> "DiskMap":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _value(self, key: bytes) -> str | None:
        found = self._connection.execute("SELECT value FROM entry WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])


def _key(name: str) -> bytes:
    """The bytes of a name, which sort as paths do; no path has a null byte, so none is confused with another."""
    return name.encode("utf-8", "surrogateescape").replace(b"/", b"\0")


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise SourceError(
            f"the list of pictures does not fit into the temporary folder {tempfile.gettempdir()}: {error}; "
            "free some space, or set SQLITE_TMPDIR to another folder"
        ) from error
