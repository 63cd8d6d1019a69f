"""How many items carry each label, kept between questions and moved along the list of changes.

What a row holds never changes, so after a write only the rows that came or went are counted: one scan of the catalogue
in all, however often a page asks for the labels that begin with what a person has typed.
"""

import heapq
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from index.following import last_seq

Tally = Mapping[str, Mapping[str, int]]  # rank -> label -> number of items

_ALL = "SELECT key, value, COUNT(*) FROM item, json_each(item.labels) WHERE deleted = 0 GROUP BY key, value"
_CHANGED = (
    "SELECT key, value, SUM(CASE kind WHEN 'add' THEN 1 ELSE -1 END) "
    "FROM change JOIN item USING (row), json_each(item.labels) WHERE seq > ? AND seq <= ? GROUP BY key, value"
)


@dataclass(frozen=True)
class LabelPage:
    """Some labels of a rank.

    Attributes:
        labels: each with the number of its items, those of most items first.
        total: how many labels there are of which these are the first.
    """

    labels: list[tuple[str, int]]
    total: int


class LabelTally:
    """The tally of one catalogue; any number of threads may ask. What is handed out is never changed afterwards."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # of what is kept; never held while the database is asked
        self._kept: tuple[int, Tally] = (-1, {})

    def now(self, connection: sqlite3.Connection) -> Tally:
        """The tally of the live items; `connection` is inside a read transaction."""
        seq = last_seq(connection)
        kept_seq, tally = self._kept
        if kept_seq < 0:
            tally = _added({}, connection.execute(_ALL))
        elif kept_seq < seq:
            tally = _added(tally, connection.execute(_CHANGED, (kept_seq, seq)))
        with self._lock:
            if self._kept[0] < seq:
                self._kept = (seq, tally)
        return tally


def first_labels(counts: Mapping[str, int], prefix: str, limit: int) -> LabelPage:
    """The labels that begin with a prefix, upper and lower case alike.

    Args:
        counts: of one rank.
        prefix: empty for all.
        limit: how many at most.
    """
    start = prefix.casefold()
    found = [(label, count) for label, count in counts.items() if label.casefold().startswith(start)]
    return LabelPage(heapq.nsmallest(limit, found, key=lambda entry: (-entry[1], entry[0])), len(found))


def in_rank_order(tally: Tally, ranks: Sequence[str]) -> dict[str, Mapping[str, int]]:
    """The tally with the ranks of the catalogue first, in their order, then others by name."""
    others = sorted(tally.keys() - set(ranks))
    return {rank: tally[rank] for rank in (*ranks, *others) if rank in tally}


def _added(tally: Tally, steps: Iterable[tuple[str, str, int]]) -> Tally:
    """A tally after some steps up and down; labels and ranks of which nothing is left are gone."""
    changed: dict[str, dict[str, int]] = {}
    for rank, label, step in steps:
        counts = changed.setdefault(rank, dict(tally.get(rank, {})))
        counts[label] = counts.get(label, 0) + step
        if counts[label] == 0:
            del counts[label]
    return {rank: counts for rank, counts in {**tally, **changed}.items() if counts}
