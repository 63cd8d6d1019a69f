"""The SQLite schema of a catalogue: the truth of which everything else is derived.

Wide values (vectors, thumbnails) have tables of their own, so that going through ids and labels reads little. An
update is a new row and the removal of the old one, so what a row means never changes and a snapshot can name rows.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encoder.errors import CatalogueCorruptError, CatalogueError, CatalogueNotFoundError, SchemaVersionError
from encoder.shell_words import path_word
from index.faults import database_faults

DATABASE_NAME = "catalogue.sqlite"
LOG_NAMES = (f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-shm")  # what SQLite keeps beside it while it is open
ANN_DIR = "ann"  # what is derived of it: see `index.snapshot`
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 10.0
PARTIAL_PREFIX = ".new-"  # what is being made aside; left behind only by a kill

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE item (
    row INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice, so that a snapshot's rows cannot come to mean others
    id TEXT NOT NULL,
    labels TEXT NOT NULL,                   -- JSON object, rank -> name, finest rank first
    metadata TEXT NOT NULL,                 -- JSON object
    source TEXT NOT NULL,
    content_hash TEXT NOT NULL,             -- SHA-256 of the picture file, hex
    deleted INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX item_live ON item (id) WHERE deleted = 0;
CREATE INDEX item_content ON item (content_hash) WHERE deleted = 0;

CREATE TABLE embedding (row INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE thumbnail (row INTEGER PRIMARY KEY, picture BLOB NOT NULL);

CREATE TABLE change (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    row INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('add', 'remove'))
);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open the database of a catalogue folder and check that this program understands it.

    Raises:
        CatalogueNotFoundError: there is none.
        CatalogueCorruptError: the file is no SQLite database, or a damaged one.
        CatalogueError: the file cannot be read.
        SchemaVersionError: a newer version of this program wrote it.
    """
    database = path / DATABASE_NAME
    if not database.is_file():
        raise CatalogueNotFoundError(
            f"{path} is not a catalogue: it has no {DATABASE_NAME}; "
            f"`lodisc index build {path_word(path)} --images SOURCE --bundle BUNDLE` makes one"
        )
    with database_faults(path):
        connection = _open(database)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        connection.close()
        raise SchemaVersionError(
            f"{database} has schema version {version}, this program reads up to {SCHEMA_VERSION}; update lodisc"
        )
    if version < 1:
        connection.close()
        raise CatalogueCorruptError(
            f"{database} is not a catalogue's database; if nothing else needs it, fill the catalogue anew: "
            f"lodisc index build {path_word(path)} --images SOURCE --bundle BUNDLE --fresh"
        )
    return connection


def create(path: Path, meta: dict[str, str]) -> None:
    """Make an empty catalogue. Its database is made aside and renamed, so it is there whole or not at all.

    Raises:
        CatalogueError: the folder cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=path) as folder:
            fresh = Path(folder) / DATABASE_NAME
            with database_faults(path):
                _create_tables(fresh, meta)
            # Of one that is gone: SQLite would take its log for that of this one, and a search its snapshot.
            if (path / ANN_DIR).exists():
                shutil.rmtree(path / ANN_DIR)
            for name in LOG_NAMES:
                (path / name).unlink(missing_ok=True)
            fresh.replace(path / DATABASE_NAME)
        _sync_folder(path)
    except OSError as error:
        raise CatalogueError(f"no catalogue can be made at {path}: {error.strerror or error}") from error


def _create_tables(database: Path, meta: dict[str, str]) -> None:
    connection = _open(database)
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statement in TABLES.split(";"):
            if statement.strip():
                connection.execute(statement)
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    finally:
        connection.close()  # of the last connection: moves the log into the file, so that this is all there is


def _sync_folder(path: Path) -> None:
    """Make a rename in the folder outlive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(database: Path) -> sqlite3.Connection:
    # Autocommit: every transaction of ours says BEGIN itself. Connections are used by one thread at a time.
    connection = sqlite3.connect(database, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Take the write lock of the catalogue at `path`, commit at the end, roll back on an exception.

    Raises:
        CatalogueBusyError: another process kept the write lock for longer than the timeout.
        CatalogueError: the disk is full, or the file cannot be written; nothing of the block is kept.
    """
    with database_faults(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite itself has rolled back where the disk was full
                connection.execute("ROLLBACK")
            raise
