"""The rows that a search may find: what a filter lets through, placed in a snapshot once and not at every search."""

# W rows that are wanted, N vectors of a snapshot.

import numpy as np
from numpy.typing import NDArray


class RowSet:
    """Rows of a catalogue. Immutable, so any number of threads may use it.

    Args:
        rows_W: ascending, each once.
    """

    def __init__(self, rows_W: NDArray[np.int64]) -> None:
        self.rows_W = rows_W
        self._absent: tuple[NDArray[np.int64], NDArray[np.bool_]] | None = None

    def __len__(self) -> int:
        return len(self.rows_W)

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        return self.rows_W.nbytes + (self._absent[1].nbytes if self._absent else 0)

    def among(self, rows_M: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some rows are in the set."""
        return np.isin(rows_M, self.rows_W)

    def absent(self, rows_N: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows of a snapshot are not in the set; kept for the snapshot that was asked about last."""
        kept = self._absent  # taken once: another thread may replace it
        if kept is None or kept[0] is not rows_N:
            kept = self._absent = (rows_N, ~self.among(rows_N))
        return kept[1]
