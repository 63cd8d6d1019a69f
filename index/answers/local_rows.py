"""The tables of local features in a catalogue's database, and the statements that every write of an item needs.

They are made when first wanted; a catalogue without them stays as it was. They only add, so the schema version stays
too, and a program that does not know them may go on reading and writing: a trigger drops the features of an item with
the item, whoever deletes it. What such a program adds is without features until `lodisc index local` makes them.
"""

import sqlite3

from index.answers.local_features import STAMP_BYTES

TABLES = (
    "CREATE TABLE local (row INTEGER PRIMARY KEY, features BLOB NOT NULL)",
    "CREATE TABLE local_meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TRIGGER local_removed AFTER UPDATE OF deleted ON item WHEN new.deleted = 1 "
    "BEGIN DELETE FROM local WHERE row = new.row; END",
)
DROP = ("DROP TRIGGER IF EXISTS local_removed", "DROP TABLE IF EXISTS local", "DROP TABLE IF EXISTS local_meta")


def keeps_local(connection: sqlite3.Connection) -> bool:
    """Whether the catalogue has the tables."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'local'").fetchone()
    return found is not None


def is_current(connection: sqlite3.Connection, features: bytes) -> bool:
    """Whether features were made with the projection that is kept now, and not with one that was in its place."""
    found = connection.execute("SELECT value FROM local_meta WHERE key = 'stamp'").fetchone()
    return found is not None and bytes(found[0]) == features[:STAMP_BYTES]


def features_for(connection: sqlite3.Connection, given: bytes | None, content_hash: str) -> bytes | None:
    """The features that a new item gets: those given, or those of an item with its content; None where none are kept.

    Asked before the item takes the place of an older one, which may be the one with its content.
    """
    if not keeps_local(connection):
        return None
    if given is not None:
        return given if is_current(connection, given) else None
    if not content_hash:
        return None
    found = connection.execute(
        "SELECT features FROM item JOIN local USING (row) WHERE content_hash = ? AND deleted = 0 LIMIT 1",
        (content_hash,),
    ).fetchone()
    return None if found is None else bytes(found[0])


def insert_features(connection: sqlite3.Connection, row: int | None, features: bytes | None) -> None:
    """Keep the features of a new row, if there are any."""
    if features is not None:
        connection.execute("INSERT INTO local VALUES (?, ?)", (row, features))
