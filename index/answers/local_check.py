"""Whether a catalogue's local features belong to its items and can be read; what does not is dropped by a repair.

An item without features is no fault: it is found by its embedding, and `lodisc index local` makes them.
"""

import sqlite3

from encoder.errors import CatalogueCorruptError
from index.answers.local_features import unpack
from index.answers.local_rows import is_current, keeps_local
from index.verification_findings import Check


def check_local(connection: sqlite3.Connection) -> Check | None:
    """Look through the local features; None where the catalogue keeps none."""
    if not keeps_local(connection):
        return None
    check = Check(name="local", promise="every local feature belongs to an item and can be read")
    for row, features, live in connection.execute(
        "SELECT row, features, EXISTS (SELECT 1 FROM item WHERE item.row = local.row AND deleted = 0) FROM local"
    ):
        check.looked_at += 1
        if not live:
            check.add(f"that of row {row} belongs to none", row)
        elif not _is_whole(connection, features):
            check.add(f"that of row {row} is damaged, or was made with another projection", row)
    return check


def drop_faulty(connection: sqlite3.Connection) -> None:
    """Delete what `check_local` finds fault with; the connection is in a write transaction."""
    check = check_local(connection)
    if check is not None:
        connection.executemany("DELETE FROM local WHERE row = ?", [(row,) for row in check.rows])


def _is_whole(connection: sqlite3.Connection, features: object) -> bool:
    if not isinstance(features, bytes) or not is_current(connection, features):
        return False
    try:
        unpack([features])
    except CatalogueCorruptError:
        return False
    return True
