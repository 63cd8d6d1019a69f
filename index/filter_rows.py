"""The rows that a filter lets through, as of one change, kept between searches and moved along the list of changes.

What a row holds never changes, so after a write only the rows that came or went are looked at: a filter that is asked
again and again costs one scan of the catalogue in all.
"""

import sqlite3
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.filter_expression import Filter
from index.filter_fields import KnownFields
from index.filter_sql import SqlCondition
from index.row_set import RowSet

MAX_KEPT = 16
MAX_KEPT_BYTES = 64 * 2**20

# Rows that were there at change :seq, whatever the transaction sees beyond it.
_THERE = (
    "(deleted = 0 OR row IN (SELECT row FROM change WHERE seq > :seq AND kind = 'remove')) "
    "AND row NOT IN (SELECT row FROM change WHERE seq > :seq AND kind = 'add')"
)


@dataclass(frozen=True)
class _Kept:
    seq: int
    rows: RowSet


class FilterRows:
    """The rows of the filters that were asked last; any number of threads may ask.

    Args:
        fields: that the catalogue has.
    """

    def __init__(self, fields: KnownFields) -> None:
        self._lock = threading.Lock()  # of what is kept; never held while the database is asked
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._fields = fields

    def rows(self, connection: sqlite3.Connection, asked: Filter, seq: int) -> RowSet:
        """The rows that satisfy a filter.

        Args:
            connection: inside a read transaction that sees change `seq` or more.
            asked: the filter.
            seq: the change as of which it is answered.

        Raises:
            FilterError: it names a field that no item has.
        """
        with self._lock:
            kept = self._kept.get(asked.text)
        if kept is None or kept.seq != seq:
            self._fields.check(connection, asked)
            if kept is None or kept.seq > seq:
                kept = _Kept(seq, _all_rows(connection, asked, seq))
            else:
                kept = _Kept(seq, _moved(connection, asked, kept, seq))
        with self._lock:
            self._keep(asked.text, kept)
        return kept.rows

    def _keep(self, text: str, kept: _Kept) -> None:
        if text not in self._kept or self._kept[text].seq < kept.seq:
            self._kept[text] = kept
        self._kept.move_to_end(text)
        while len(self._kept) > 1 and (
            len(self._kept) > MAX_KEPT or sum(one.rows.num_bytes for one in self._kept.values()) > MAX_KEPT_BYTES
        ):
            self._kept.popitem(last=False)


def _all_rows(connection: sqlite3.Connection, asked: Filter, seq: int) -> RowSet:
    condition = SqlCondition(asked.condition)
    return RowSet(
        _row_array(
            connection.execute(
                f"SELECT row FROM item WHERE {_THERE} AND {condition.sql} ORDER BY row",
                {"seq": seq, **condition.parameters},
            )
        )
    )


def _moved(connection: sqlite3.Connection, asked: Filter, kept: _Kept, seq: int) -> RowSet:
    """The rows after the changes since they were kept."""
    condition = SqlCondition(asked.condition)
    changed = "SELECT row FROM change WHERE seq > :since AND seq <= :seq AND kind ="
    steps: dict[str, int | str] = {"since": kept.seq, "seq": seq}
    removed_R = _row_array(connection.execute(f"{changed} 'remove'", steps))
    added_A = _row_array(
        connection.execute(
            f"SELECT row FROM item WHERE row IN ({changed} 'add') AND {_THERE} AND {condition.sql} ORDER BY row",
            {**steps, **condition.parameters},
        )
    )
    if not len(removed_R) and not len(added_A):
        return kept.rows
    rows_W = kept.rows.rows_W
    # New rows are greater than all that are kept: a row's number is never used twice.
    return RowSet(np.concatenate([rows_W[~np.isin(rows_W, removed_R)], added_A]))


def _row_array(cursor: sqlite3.Cursor) -> NDArray[np.int64]:
    return np.fromiter((row for (row,) in cursor), np.int64)
