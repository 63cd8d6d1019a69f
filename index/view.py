"""What one process knows of a catalogue at one change: a snapshot, what has gone since, and what has come since.

Immutable: a search uses one view from beginning to end while writers go on.
"""

# Q queries, D embedding dim, N vectors of the snapshot, M of the tail, A added, R removed, K neighbours.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.row_set import RowSet
from index.snapshot import Snapshot


@dataclass(frozen=True)
class View:
    """A catalogue's vectors as of one change.

    Attributes:
        seq: the last change it takes into account.
        snapshot: most of the vectors; None if there is no usable one.
        removed_N: True at positions of the snapshot that are gone; None if none is.
        tail_rows_M: rows that are not in the snapshot, ascending.
        tail_MD: their vectors, searched exactly.
    """

    seq: int
    snapshot: Snapshot | None
    removed_N: NDArray[np.bool_] | None
    tail_rows_M: NDArray[np.int64]
    tail_MD: NDArray[np.float32]

    @property
    def snapshot_seq(self) -> int:
        """The last change that the snapshot holds, 0 without one."""
        return self.snapshot.info.seq if self.snapshot is not None else 0

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
        """
        wanted = k + len(excluded_rows)
        found: list[list[tuple[int, float]]] = [[] for _ in queries_QD]
        removed_N, tail_rows_M, tail_MD = self.removed_N, self.tail_rows_M, self.tail_MD
        if wanted_rows is not None:
            if self.snapshot is not None:
                removed_N = wanted_rows.absent(self.snapshot.rows_N)
            stays_M = wanted_rows.among(tail_rows_M)
            tail_rows_M, tail_MD = tail_rows_M[stays_M], tail_MD[stays_M]
        if self.snapshot is not None:
            scores_QK, rows_QK = self.snapshot.search(queries_QD, wanted, removed_N)
            _collect(found, scores_QK, rows_QK, excluded_rows)
        if len(tail_rows_M):
            scores_QM = queries_QD @ tail_MD.T
            kept = min(wanted, scores_QM.shape[1])
            best_QK = np.argpartition(-scores_QM, kept - 1, axis=1)[:, :kept]
            _collect(found, np.take_along_axis(scores_QM, best_QK, axis=1), tail_rows_M[best_QK], excluded_rows)
        return [sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:k] for hits in found]

    def after(
        self, seq: int, added_rows_A: NDArray[np.int64], added_AD: NDArray[np.float32], removed: set[int]
    ) -> "View":
        """The view after more changes.

        Args:
            seq: the last of them.
            added_rows_A: rows added and still there, ascending.
            added_AD: their vectors.
            removed: rows removed.
        """
        removed_R = np.fromiter(removed, np.int64, len(removed))
        removed_N = self.removed_N
        if self.snapshot is not None and removed:
            gone_N = np.isin(self.snapshot.rows_N, removed_R)
            if gone_N.any():
                removed_N = gone_N if removed_N is None else removed_N | gone_N
        stays_M = ~np.isin(self.tail_rows_M, removed_R)
        return View(
            seq,
            self.snapshot,
            removed_N,
            np.concatenate([self.tail_rows_M[stays_M], added_rows_A]),
            np.concatenate([self.tail_MD[stays_M], added_AD]),
        )


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
