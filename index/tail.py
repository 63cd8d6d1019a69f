"""What has come since a snapshot: vectors that are searched exactly.

Immutable to its readers, and yet a change costs what it brings, not what is there: versions share one growing buffer,
of which each sees its own first part. Only the newest version appends in place; any other copies.
"""

# Q queries, M vectors of the tail, A added, K neighbours.

import numpy as np
from numpy.typing import NDArray


class _Buffer:
    """Rows and vectors, more room than is used."""

    def __init__(self, capacity: int, dim: int) -> None:
        self.rows = np.empty(capacity, np.int64)
        self.vectors = np.empty((capacity, dim), np.float32)
        self.used = 0


class Tail:
    """Vectors that are not in the snapshot. `len` counts those still there."""

    def __init__(self, buffer: _Buffer, count: int, gone: frozenset[int]) -> None:
        self._buffer, self._count, self._gone = buffer, count, gone  # `gone` are positions in the buffer

    @classmethod
    def empty(cls, dim: int) -> "Tail":
        """A tail of nothing."""
        return cls(_Buffer(0, dim), 0, frozenset())

    def __len__(self) -> int:
        return self._count - len(self._gone)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of all that ever came, ascending, among them those that are gone."""
        return self._buffer.rows[: self._count]

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Their vectors."""
        return self._buffer.vectors[: self._count]

    @property
    def dim(self) -> int:
        """Of a vector."""
        return int(self._buffer.vectors.shape[1])

    def after(self, added_rows_A: NDArray[np.int64], added_AD: NDArray[np.float32], removed: set[int]) -> "Tail":
        """The tail after more changes; one writer at a time may call this on the newest version.

        Args:
            added_rows_A: greater than all that came before, ascending.
            added_AD: their vectors.
            removed: rows; those that are not of the tail are passed over.
        """
        gone = self._gone | self._positions(removed)
        if len(gone) > self._count // 2:
            return self._compressed(gone).after(added_rows_A, added_AD, set())
        buffer, count = self._buffer, self._count + len(added_rows_A)
        if buffer.used != self._count or count > len(buffer.rows):
            buffer = self._copied(np.arange(self._count), capacity=max(2 * self._count, count))
        buffer.rows[self._count : count] = added_rows_A
        buffer.vectors[self._count : count] = added_AD
        buffer.used = count
        return Tail(buffer, count, gone)

    def among(self, rows_W: NDArray[np.int64]) -> "Tail":
        """Those of some rows, each of which is there in this version if it is of the tail."""
        positions = np.flatnonzero(np.isin(self.rows, rows_W))
        return Tail(self._copied(positions, capacity=len(positions)), len(positions), frozenset())

    def search(self, queries_QD: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores (Q, K) and rows (Q, K) of the nearest, in no order; fewer than k where there are fewer."""
        scores_QM = queries_QD @ self.vectors.T
        if self._gone:
            scores_QM[:, list(self._gone)] = -np.inf
        kept = min(k, len(self))
        if kept == 0:
            return np.empty((len(queries_QD), 0), np.float32), np.empty((len(queries_QD), 0), np.int64)
        best_QK = np.argpartition(scores_QM, self._count - kept, axis=1)[:, self._count - kept :]
        return np.take_along_axis(scores_QM, best_QK, axis=1), self.rows[best_QK]

    def _positions(self, rows: set[int]) -> frozenset[int]:
        """Where some rows are, leaving out those that are not of the tail."""
        wanted = np.fromiter(rows, np.int64, len(rows))
        places = np.searchsorted(self.rows, wanted)
        inside = places < self._count
        places, wanted = places[inside], wanted[inside]
        return frozenset(places[self.rows[places] == wanted].tolist())

    def _compressed(self, gone: frozenset[int]) -> "Tail":
        """Without what is gone; happens after so many removals that its cost is theirs."""
        stays = np.ones(self._count, np.bool_)
        stays[list(gone)] = False
        positions = np.flatnonzero(stays)
        return Tail(self._copied(positions, capacity=len(positions)), len(positions), frozenset())

    def _copied(self, positions: NDArray[np.int64], capacity: int) -> _Buffer:
        buffer = _Buffer(capacity, self._buffer.vectors.shape[1])
        buffer.used = len(positions)
        buffer.rows[: buffer.used] = self._buffer.rows[positions]
        buffer.vectors[: buffer.used] = self._buffer.vectors[positions]
        return buffer
