"""What one process knows of a catalogue at one change: a snapshot, what has gone since, and what has come since.

Immutable: a search uses one view from beginning to end while writers go on.
"""

# Q queries, D embedding dim, N vectors of the snapshot, A added, K neighbours.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.ann_search import Selection
from index.row_set import RowSet
from index.snapshot import Snapshot
from index.tail import Tail


@dataclass(frozen=True)
class View:
    """A catalogue's vectors as of one change.

    Attributes:
        seq: the last change it takes into account.
        snapshot: most of the vectors; None if there is no usable one.
        selection: what of the snapshot is still there; None if all is.
        tail: what is not in the snapshot, searched exactly.
    """

    seq: int
    snapshot: Snapshot | None
    selection: Selection | None
    tail: Tail

    @property
    def snapshot_seq(self) -> int:
        """The last change that the snapshot holds, 0 without one."""
        return self.snapshot.info.seq if self.snapshot is not None else 0

    @property
    def num_removed(self) -> int:
        """Vectors of the snapshot that are gone."""
        return self.snapshot.info.count - self.selection.num_selected if self.snapshot and self.selection else 0

    def search(
        self,
        queries_QD: NDArray[np.float32],
        k: int,
        excluded_rows: frozenset[int],
        wanted_rows: RowSet | None = None,
    ) -> list[list[tuple[int, float]]]:
        """For each query its k best rows with their cosines, best first, ties by row.

        Args:
            queries_QD: of length 1, float32.
            k: rows for each query.
            excluded_rows: that may not be found, few.
            wanted_rows: of which one must be, each of them there in this view; None for any.

        Raises:
            SnapshotDamagedError: a vector of the snapshot is not what was written.
        """
        wanted = k + len(excluded_rows)
        found: list[list[tuple[int, float]]] = [[] for _ in queries_QD]
        if self.snapshot is not None:
            selection = self.selection if wanted_rows is None else wanted_rows.selection(self.snapshot.rows_N)
            _collect(found, *self.snapshot.search(queries_QD, wanted, selection), excluded_rows)
        tail = self.tail if wanted_rows is None else self.tail.among(wanted_rows.rows_W)
        if len(tail):
            _collect(found, *tail.search(queries_QD, wanted), excluded_rows)
        return [sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:k] for hits in found]

    def after(
        self, seq: int, added_rows_A: NDArray[np.int64], added_AD: NDArray[np.float32], removed: set[int]
    ) -> "View":
        """The view after more changes; costs what they bring, whatever the size of the catalogue.

        Args:
            seq: the last of them.
            added_rows_A: rows added and still there, ascending.
            added_AD: their vectors.
            removed: rows removed.
        """
        selection = self.selection
        if self.snapshot is not None and removed:
            gone = self.snapshot.positions_of(removed)
            if len(gone):
                selection = (selection or Selection.everything(self.snapshot.info.count)).without(gone)
        return View(seq, self.snapshot, selection, self.tail.after(added_rows_A, added_AD, removed))


def _collect(
    found: list[list[tuple[int, float]]],
    scores_QK: NDArray[np.float32],
    rows_QK: NDArray[np.int64],
    excluded_rows: frozenset[int],
) -> None:
    for hits, scores, rows in zip(found, scores_QK.tolist(), rows_QK.tolist(), strict=True):
        hits.extend(
            (row, score) for row, score in zip(rows, scores, strict=True) if row >= 0 and row not in excluded_rows
        )
