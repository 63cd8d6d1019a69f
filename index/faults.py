"""What SQLite raises, as errors of ours: busy, damaged, and not to be read or written are different things to a person.

Not covered: mistakes of this program (a wrong statement, a violated constraint), which stay what they are.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encoder.errors import CatalogueBusyError, CatalogueCorruptError, CatalogueError
from encoder.shell_words import path_word

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FILE = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
)


# Said of a text that is damaged while the pages around it are whole; such errors have no code, or a general one.
_UNREADABLE = ("Could not decode to UTF-8", "malformed JSON")


@contextmanager
def database_faults(path: Path) -> Iterator[None]:
    """Raise SQLite's errors within the block as ours.

    Args:
        path: folder of the catalogue, for the message.

    Raises:
        CatalogueBusyError: another process kept the lock for longer than the timeout.
        CatalogueCorruptError: the database is damaged, or a text in it, also where that is no JSON for the block.
        CatalogueError: the disk is full, or its file cannot be read or written.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        told = _told(path, error)
        if told is None:
            raise
        raise told from error
    except json.JSONDecodeError as error:
        raise _unreadable(path, error) from error


def _told(path: Path, error: sqlite3.DatabaseError) -> CatalogueError | None:
    # An extended code has the primary one in its low byte. Errors of the Python module itself have none.
    code = getattr(error, "sqlite_errorcode", -1) & 0xFF
    if code in _BUSY:
        return CatalogueBusyError(f"another process has kept the catalogue {path} locked ({error}); try again")
    if code in _DAMAGED:
        return CatalogueCorruptError(
            f"the database of catalogue {path} is damaged ({error}); restore a copy, or fill it anew: "
            f"lodisc index build {path_word(path)} --images SOURCE --bundle BUNDLE --fresh"
        )
    if str(error).startswith(_UNREADABLE):
        return _unreadable(path, error)
    if code in _FILE:
        return CatalogueError(
            f"the database of catalogue {path} cannot be read or written ({error}); "
            "see whether the disk is full and whether you may write there; what was acknowledged is kept"
        )
    return None


def _unreadable(path: Path, error: Exception) -> CatalogueCorruptError:
    reason = str(error).partition(" with text ")[0]  # what follows may be long, and holds what cannot be printed
    return CatalogueCorruptError(
        f"the database of catalogue {path} holds a text that cannot be read ({reason}); what mends it is said by: "
        f"lodisc index verify {path_word(path)}"
    )
