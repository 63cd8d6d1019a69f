"""The SQLite schema of a catalogue: the truth of which everything else is derived.

Wide values (vectors, thumbnails) have tables of their own, so that going through ids and labels reads little. An
update is a new row and the removal of the old one, so what a row means never changes and a snapshot can name rows.
"""

import sqlite3
from pathlib import Path

from encoder.errors import (
    CatalogueBusyError,
    CatalogueCorruptError,
    CatalogueNotFoundError,
    SchemaVersionError,
)

DATABASE_NAME = "catalogue.sqlite"
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 10.0

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
        SchemaVersionError: a newer version of this program wrote it.
    """
    database = path / DATABASE_NAME
    if not database.is_file():
        raise CatalogueNotFoundError(
            f"{path} is not a catalogue: it has no {DATABASE_NAME}; "
            f"`lodisc index build {path} --images SOURCE --bundle BUNDLE` makes one"
        )
    try:
        connection = _open(database)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise CatalogueCorruptError(f"{database} cannot be read as a catalogue: {error}") from error
    if version > SCHEMA_VERSION:
        connection.close()
        raise SchemaVersionError(
            f"{database} has schema version {version}, this program reads up to {SCHEMA_VERSION}; update lodisc"
        )
    if version < 1:
        connection.close()
        raise CatalogueCorruptError(
            f"{database} is not a finished catalogue; delete it and run `lodisc index build {path} ...` again"
        )
    return connection


def create(path: Path, meta: dict[str, str]) -> None:
    """Make an empty catalogue: all of it in one transaction, so it is there whole or not at all."""
    path.mkdir(parents=True, exist_ok=True)
    connection = _open(path / DATABASE_NAME)
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statement in TABLES.split(";"):
            if statement.strip():
                connection.execute(statement)
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    finally:
        connection.close()


def _open(database: Path) -> sqlite3.Connection:
    # Autocommit: every transaction of ours says BEGIN itself. Connections are used by one thread at a time.
    connection = sqlite3.connect(database, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


class Transaction:
    """`with Transaction(connection):` takes the write lock, commits at the end, rolls back on an exception.

    Raises:
        CatalogueBusyError: another process kept the write lock for longer than the timeout.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __enter__(self) -> sqlite3.Connection:
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise CatalogueBusyError(
                f"another process has been writing to the catalogue for {BUSY_TIMEOUT_S:.0f} s; try again"
            ) from error
        return self.connection

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.connection.execute("COMMIT" if kind is None else "ROLLBACK")
