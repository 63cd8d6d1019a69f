"""The names that a filter may use in a catalogue: a name that no item has is a mistake, not an empty answer."""

import difflib
import sqlite3

from encoder.errors import FilterError
from index.filter_expression import ID, Exists, Field, Filter, fields_of
from index.filter_sql import SqlCondition
from index.filter_tokens import fault
from index.following import last_seq

_MAX_LISTED = 12


class KnownFields:
    """Finds whether the live items of a catalogue have a field.

    It remembers for each name one item that has it: asked again, only that one is looked at. Without that, a name
    that few items have would cost a scan at every change of the catalogue. Of a name that none has the scan is paid
    once a change, whatever clients ask. Any number of threads may ask.
    """

    def __init__(self) -> None:
        self._witness: dict[str, int] = {}
        self._all: tuple[int, list[str]] = (-1, [])  # as of a change

    def check(self, connection: sqlite3.Connection, asked: Filter) -> None:
        """See that every name of a filter is the id, or a label or metadata of some item.

        In an empty catalogue every name may be used: there is nothing it could be misspelt from.

        Raises:
            FilterError: a name is not known; the message has those that are near, or all.
        """
        for field in fields_of(asked.condition):
            if field.name != ID and not self._known(connection, field):
                names = self._names(connection)
                if names or connection.execute("SELECT 1 FROM item WHERE deleted = 0 LIMIT 1").fetchone():
                    raise unknown_field(field, names)

    def _known(self, connection: sqlite3.Connection, field: Field) -> bool:
        witness = self._witness.get(field.name)
        if witness is not None and _first_with(connection, field, "row = :row", row=witness) is not None:
            return True
        if self._all[0] == last_seq(connection):
            return field.name in self._all[1]
        found = _first_with(connection, field, "TRUE")
        if found is None:
            self._witness.pop(field.name, None)
            return False
        self._witness[field.name] = found
        return True

    def _names(self, connection: sqlite3.Connection) -> list[str]:
        """Every label rank and every metadata key of the live items, sorted. Goes through all of them."""
        seq, names = self._all
        now = last_seq(connection)
        if seq != now:
            found = connection.execute(
                "SELECT key FROM item, json_each(item.labels) WHERE deleted = 0 "
                "UNION SELECT key FROM item, json_each(item.metadata) WHERE deleted = 0 ORDER BY 1"
            )
            names = [key for (key,) in found]
            self._all = (now, names)
        return names


def _first_with(connection: sqlite3.Connection, field: Field, where: str, **parameters: int) -> int | None:
    """A live row that has the field, if there is one among those of a condition."""
    exists = SqlCondition(Exists(field))
    found = connection.execute(
        f"SELECT row FROM item WHERE deleted = 0 AND {where} AND {exists.sql} LIMIT 1",
        {**exists.parameters, **parameters},
    ).fetchone()
    return None if found is None else int(found[0])


def unknown_field(field: Field, names: list[str]) -> FilterError:
    """The error for a name that no item has.

    Args:
        field: that was named.
        names: that there are, sorted.
    """
    near = difflib.get_close_matches(field.name, names, n=3)
    if near:
        hint = f"did you mean {' or '.join(map(_shown, near))}?"
    elif len(names) <= _MAX_LISTED:
        hint = f"there are {', '.join(map(_shown, names)) or 'none'}"
    else:
        hint = f"there are {', '.join(map(_shown, names[:_MAX_LISTED]))} and {len(names) - _MAX_LISTED} more"
    error = fault(field.position, f"no item has a label or metadata {_shown(field.name)}; {hint}")
    error.detail["fields"] = near or names[:_MAX_LISTED]
    return error


def _shown(name: str) -> str:
    """A name as it is written in a filter, on one line and short."""
    written = name if name.isidentifier() else f"[{name.replace(']', ']]')}]"
    written = written if written.isprintable() else ascii(written)
    return written if len(written) <= 60 else f"{written[:57]}..."
