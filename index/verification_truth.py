"""Checks of the database by itself: is it whole, and does it say one thing of each item.

All of it is read in one transaction, so what a writer does meanwhile is either wholly seen or not at all. Rows are
streamed; the one thing that is sorted, changes by row, is sorted by SQLite within its bounds.
"""

# N embeddings read at a time, D embedding dim.

import sqlite3
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from index.vectors import STORED_DTYPE
from index.verification_findings import Check

# Called with what is being looked at, how many are done, and how many there are.
Tell = Callable[[str, int, int], None]

WHOLE = "SQLite finds its file whole"
CHUNK = 4096
MOST_FAULTS = 100  # that SQLite is to list
LENGTH_TOLERANCE = 0.01  # half precision moves the length of a vector by up to a thousandth

# Of every row of which there is an item or a change: faulty unless a live item has been added and not removed, and
# whatever else a change names has been removed.
CHANGE_FAULTS = """
SELECT row, SUM(live), SUM(added), SUM(removed) FROM (
    SELECT row, deleted = 0 AS live, 0 AS added, 0 AS removed FROM item
    UNION ALL SELECT row, 0, kind = 'add', kind = 'remove' FROM change
) GROUP BY row HAVING CASE WHEN SUM(live) THEN SUM(added) = 0 OR SUM(removed) > 0 ELSE SUM(removed) = 0 END
"""
# The documents as bytes, because SQLite takes texts that are no UTF-8 for valid too; id and source as texts, because
# damage of these cannot be mended: reading them fails then, as that of a damaged database.
DOCUMENTS = """
SELECT row, id, source, CAST(document AS BLOB), column,
    CASE WHEN json_valid(document) THEN json_type(document) = 'object' ELSE FALSE END
FROM (
    SELECT row, id, source, 'labels' AS column, labels AS document FROM item WHERE deleted = 0
    UNION ALL SELECT row, id, source, 'metadata', metadata FROM item WHERE deleted = 0
)
"""
HASH_FAULTS = """
SELECT row, id, content_hash FROM item
WHERE deleted = 0 AND (LENGTH(content_hash) <> 64 OR content_hash GLOB '*[^0-9a-f]*')
"""
ORPHANS = """
SELECT row, part FROM (SELECT row, 'embedding' AS part FROM embedding UNION ALL SELECT row, 'thumbnail' FROM thumbnail)
AS kept WHERE NOT EXISTS (SELECT 1 FROM item WHERE item.row = kept.row AND deleted = 0)
"""


def check_database(connection: sqlite3.Connection) -> Check:
    """What SQLite says of its file."""
    check = Check(name="database", promise=WHOLE)
    check.looked_at = _page_count(connection)
    for line in sqlite_faults(connection):
        check.add(line)
    return check


def sqlite_faults(connection: sqlite3.Connection) -> list[str]:
    """One line for each thing that SQLite finds wrong with its file, at most MOST_FAULTS."""
    try:
        found = connection.execute(f"PRAGMA integrity_check({MOST_FAULTS})")
        lines = [str(line).replace("\n", ": ") for (line,) in found]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [] if lines == ["ok"] else lines


def only_in_indexes(faults: list[str]) -> bool:
    """Whether they are only in indexes, which SQLite can build anew."""
    signs = ("missing from index", "wrong # of entries in index", "non-unique entry in index")
    return all(any(sign in line for sign in signs) for line in faults)


def check_embeddings(connection: sqlite3.Connection, dim: int, tell: Tell) -> Check:
    """Each live item has one embedding that can be compared with others."""
    check = Check(name="embeddings", promise=f"every item has an embedding: {dim} finite numbers of length 1")
    size = dim * STORED_DTYPE.itemsize
    total = _count_live(connection)
    for chunk in _chunks(
        connection.execute(
            "SELECT item.row, id, vector FROM item LEFT JOIN embedding USING (row) WHERE deleted = 0 ORDER BY item.row"
        )
    ):
        whole: list[tuple[int, str, bytes]] = []
        for row, item_id, vector in chunk:
            if vector is None:
                check.add(f"{item_id!a} has none", row)
            elif not isinstance(vector, bytes) or len(vector) != size:
                check.add(f"that of {item_id!a} is no blob of {size} bytes", row)
            else:
                whole.append((row, item_id, vector))
        lengths_N = lengths_of([vector for _, _, vector in whole], dim)
        for position in np.flatnonzero(~(np.abs(lengths_N - 1) <= LENGTH_TOLERANCE)).tolist():
            row, item_id, _ = whole[position]
            length = float(lengths_N[position])
            said = f"has length {length:.3g}" if np.isfinite(length) else "is not finite"
            check.add(f"that of {item_id!a} {said}", row)
        check.looked_at += len(chunk)
        tell("embeddings", check.looked_at, total)
    return check


def lengths_of(blobs: Sequence[bytes], dim: int) -> NDArray[np.float32]:
    """Lengths of stored vectors, float32, shape (N,); not finite where a number of theirs is not."""
    stored_ND = np.frombuffer(b"".join(blobs), STORED_DTYPE).reshape(-1, dim)
    with np.errstate(invalid="ignore"):
        lengths_N: NDArray[np.float32] = np.linalg.norm(stored_ND.astype(np.float32), axis=1)
    return lengths_N


def check_thumbnails(connection: sqlite3.Connection) -> Check:
    """Each live item has one thumbnail."""
    check = Check(name="thumbnails", promise="every item has a thumbnail", looked_at=_count_live(connection))
    for row, item_id in connection.execute(
        "SELECT row, id FROM item WHERE deleted = 0 AND row NOT IN (SELECT row FROM thumbnail) ORDER BY row"
    ):
        check.add(f"{item_id!a} has none", row)
    return check


def check_orphans(connection: sqlite3.Connection) -> Check:
    """Nothing is kept of what is not there."""
    check = Check(name="orphans", promise="every embedding and thumbnail belongs to an item")
    (check.looked_at,) = connection.execute(
        "SELECT (SELECT COUNT(*) FROM embedding) + (SELECT COUNT(*) FROM thumbnail)"
    ).fetchone()
    for row, part in connection.execute(ORPHANS):
        check.add(f"the {part} of row {row} belongs to none", row)
    return check


def check_changes(connection: sqlite3.Connection) -> Check:
    """The list of changes, which searches follow, leads to the items that are there."""
    check = Check(name="changes", promise="the list of changes leads to the items that are there")
    (check.looked_at,) = connection.execute("SELECT COUNT(*) FROM change").fetchone()
    for row, live, added, removed in connection.execute(CHANGE_FAULTS):
        if not live:
            check.add(f"row {row} is gone and its removal is not noted", row)
        elif not added:
            check.add(f"row {row} is there and its addition is not noted", row)
        else:
            check.add(f"row {row} is there and {removed} removals are noted", row)
    return check


def check_documents(connection: sqlite3.Connection) -> Check:
    """Labels and metadata can be read."""
    check = Check(name="documents", promise="labels and metadata are JSON objects", looked_at=_count_live(connection))
    for row, item_id, column in document_faults(connection):
        check.add(f"the {column} of {item_id!a}", row)
    return check


def document_faults(connection: sqlite3.Connection) -> Iterator[tuple[int, str, str]]:
    """Row, id and column of labels and metadata that are no JSON object, or no UTF-8."""
    for row, item_id, _, document, column, is_object in connection.execute(DOCUMENTS):
        if not is_object or not _is_utf8(document):
            yield row, item_id, column


def _is_utf8(document: bytes) -> bool:
    try:
        document.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def check_hashes(connection: sqlite3.Connection) -> Check:
    """Content can be recognised."""
    check = Check(name="hashes", promise="every content hash is a SHA-256", looked_at=_count_live(connection))
    for row, item_id, content_hash in connection.execute(HASH_FAULTS):
        check.add(f"that of {item_id!a} is {str(content_hash)[:70]!a}", row)
    return check


def _page_count(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("PRAGMA page_count").fetchone()
    return int(count)


def _count_live(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT COUNT(*) FROM item WHERE deleted = 0").fetchone()
    return int(count)


def _chunks(cursor: sqlite3.Cursor) -> Iterator[list[tuple[int, str, object]]]:
    while chunk := cursor.fetchmany(CHUNK):
        yield chunk
