"""The statements over a catalogue's items; each works on a connection that the caller has opened.

An update is the removal of a row and a new row, and each of the two is noted in the list of changes.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from index.answers.local_rows import features_for, insert_features, keeps_local
from index.filter_sql import SqlCondition
from index.items import Item, NewItem, Record
from index.ranks import in_order, with_labels

_CHUNK = 500  # rows in one SQL statement
_COLUMNS = "id, labels, metadata, source, content_hash"


def live_row(connection: sqlite3.Connection, item_id: str) -> int | None:
    """The row of an item that is there, or None."""
    try:
        found = connection.execute("SELECT row FROM item WHERE id = ? AND deleted = 0", (item_id,)).fetchone()
    except UnicodeEncodeError:  # half of a surrogate pair, as in a file name that is not UTF-8: no id at all
        return None
    return None if found is None else int(found[0])


def catalogue_ranks(connection: sqlite3.Connection) -> tuple[str, ...]:
    """The label ranks as they are called now, finest first."""
    (ranks,) = connection.execute("SELECT value FROM meta WHERE key = 'ranks'").fetchone()
    return tuple(json.loads(ranks))


def insert(connection: sqlite3.Connection, item: NewItem, vector: bytes, ranks: Sequence[str] = ()) -> None:
    """Add an item, in place of the one with its id if there is one.

    Args:
        connection: inside a write transaction.
        item: to add.
        vector: its packed embedding.
        ranks: the order of its labels.
    """
    local = features_for(connection, item.local, item.content_hash)
    remove(connection, item.id)
    cursor = connection.execute(
        f"INSERT INTO item ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)",
        (item.id, _json(in_order(item.labels, ranks)), _json(item.metadata), item.source, item.content_hash),
    )
    row = cursor.lastrowid
    connection.execute("INSERT INTO embedding VALUES (?, ?)", (row, vector))
    connection.execute("INSERT INTO thumbnail VALUES (?, ?)", (row, item.thumbnail))
    insert_features(connection, row, local)
    connection.execute("INSERT INTO change (row, kind) VALUES (?, 'add')", (row,))


def remove(connection: sqlite3.Connection, item_id: str) -> bool:
    """Mark the item as deleted, drop its wide values, and note the change; False if there is none."""
    row = live_row(connection, item_id)
    if row is None:
        return False
    connection.execute("UPDATE item SET deleted = 1 WHERE row = ?", (row,))
    connection.execute("DELETE FROM embedding WHERE row = ?", (row,))
    connection.execute("DELETE FROM thumbnail WHERE row = ?", (row,))
    connection.execute("INSERT INTO change (row, kind) VALUES (?, 'remove')", (row,))
    return True


def move(connection: sqlite3.Connection, row: int) -> int:
    """Give a live item a new row, as an update does, with all that belongs to it, and return that."""
    moved = connection.execute(
        f"INSERT INTO item ({_COLUMNS}, deleted) SELECT {_COLUMNS}, 1 FROM item WHERE row = ?", (row,)
    ).lastrowid
    assert moved is not None  # an INSERT has one
    # While both are there: with the removal of an item its local features go, by a trigger.
    for table in ("embedding", "thumbnail", *(["local"] if keeps_local(connection) else [])):
        connection.execute(f"UPDATE {table} SET row = ? WHERE row = ?", (moved, row))
    connection.execute("UPDATE item SET deleted = 1 WHERE row = ?", (row,))
    connection.execute("UPDATE item SET deleted = 0 WHERE row = ?", (moved,))
    connection.execute("INSERT INTO change (row, kind) VALUES (?, 'remove'), (?, 'add')", (row, moved))
    return moved


def relabel(
    connection: sqlite3.Connection, item_id: str, labels: Mapping[str, str], unset: frozenset[str], ranks: Sequence[str]
) -> bool | None:
    """Give an item labels and take those of some ranks away; whether that changed anything, None if there is no item.

    Args:
        connection: inside a write transaction.
        item_id: of the item.
        labels: rank -> name.
        unset: ranks to have no label of.
        ranks: the order of its labels.
    """
    row = live_row(connection, item_id)
    if row is None:
        return None
    known = items_of_rows(connection, [row])[row].labels
    new = with_labels(known, labels, unset)
    if new == known:
        return False
    text = _json(in_order(new, ranks))
    connection.execute("UPDATE item SET labels = ? WHERE row = ?", (text, move(connection, row)))
    return True


def items_of_rows(connection: sqlite3.Connection, rows: Sequence[int]) -> dict[int, Item]:
    """The items of rows, also of those removed since: a row keeps its labels."""
    items: dict[int, Item] = {}
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        for row, *columns in connection.execute(
            f"SELECT row, {_COLUMNS} FROM item WHERE row IN ({','.join('?' * len(chunk))})", chunk
        ):
            items[row] = _item(*columns)
    return items


def facts_of_rows(connection: sqlite3.Connection, rows: Sequence[int]) -> dict[int, tuple[str, str, str]]:
    """Id, labels and metadata (both JSON) of rows, also of those removed since."""
    facts: dict[int, tuple[str, str, str]] = {}
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        for row, *columns in connection.execute(
            f"SELECT row, id, labels, metadata FROM item WHERE row IN ({','.join('?' * len(chunk))})", chunk
        ):
            facts[row] = (columns[0], columns[1], columns[2])
    return facts


def items_after(
    connection: sqlite3.Connection, item_id: str, limit: int, condition: SqlCondition | None = None
) -> list[Item]:
    """The first `limit` items with a greater id that satisfy a condition, in the order of their ids."""
    where, parameters = (condition.sql, condition.parameters) if condition is not None else ("TRUE", {})
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM item WHERE deleted = 0 AND id > :after AND {where} ORDER BY id LIMIT :limit",
        {"after": item_id, "limit": limit, **parameters},
    )
    return [_item(*columns) for columns in found]


def records(connection: sqlite3.Connection, condition: SqlCondition | None, *, thumbnails: bool) -> Iterator[Record]:
    """The items that satisfy a condition with their wide values, in the order in which they came."""
    where, parameters = (condition.sql, condition.parameters) if condition is not None else ("TRUE", {})
    picture, join = ("picture", "JOIN thumbnail USING (row)") if thumbnails else ("x''", "")
    found = connection.execute(
        f"SELECT vector, {picture}, {_COLUMNS} FROM item JOIN embedding USING (row) {join} "
        f"WHERE deleted = 0 AND {where} ORDER BY row",
        parameters,
    )
    for vector, thumbnail, *columns in found:
        yield Record(_item(*columns), vector, thumbnail)


def read_labels(text: str) -> dict[str, str]:
    """Labels as the database has them; an answer's items share most of theirs with others."""
    return dict(_known_labels(text))


@lru_cache(maxsize=4096)
def _known_labels(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(json.loads(text).items())


def read_metadata(text: str) -> dict[str, Any]:
    """Metadata as the database has it; most items of most catalogues have none."""
    return {} if text == "{}" else json.loads(text)


def _item(item_id: str, labels: str, metadata: str, source: str, content_hash: str) -> Item:
    return Item(item_id, read_labels(labels), read_metadata(metadata), source, content_hash)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
