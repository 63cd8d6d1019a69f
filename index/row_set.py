"""The rows that a search may find: what a filter lets through, placed in a snapshot once and not at every search."""

# W rows that are wanted, N vectors of a snapshot.

import numpy as np
from numpy.typing import NDArray

from index.ann_search import Selection


class RowSet:
    """Rows of a catalogue. Immutable, so any number of threads may use it.

    Args:
        rows_W: ascending, each once.
    """

    def __init__(self, rows_W: NDArray[np.int64]) -> None:
        self.rows_W = rows_W
        self._placed: tuple[NDArray[np.int64], Selection] | None = None

    def __len__(self) -> int:
        return len(self.rows_W)

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        return self.rows_W.nbytes + (self._placed[1].bits.nbytes if self._placed else 0)

    def selection(self, rows_N: NDArray[np.int64]) -> Selection:
        """Where a snapshot holds them; kept for the snapshot that was asked about last."""
        placed = self._placed  # taken once: another thread may replace it
        if placed is None or placed[0] is not rows_N:
            present_N = np.isin(rows_N, self.rows_W)
            bits = np.packbits(present_N, bitorder="little")
            placed = self._placed = (rows_N, Selection(bits, int(present_N.sum())))
        return placed[1]
