"""The vectors of a snapshot, half precision, one record each, read a few at a time to score candidates exactly.

    record = vector (D x fp16, little-endian) + CRC-32 of it, seeded with its position

Records are fetched with `pread` and checked one by one as they are read: a flipped bit or a shifted block is met as
`SnapshotDamagedError`, never as a wrong score, and nothing of the file has to be read when it is opened. Mapping the
file instead would count every page around a candidate as this process's memory.
"""

# N vectors, D embedding dim, C chosen.

import os
import weakref
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.vectors import STORED_DTYPE, units

CHUNK = 50_000  # vectors in memory at once where all are gone through
# Of any bytes followed by their CRC-32, little-endian, the CRC-32 is this, whatever it is seeded with.
INTACT = 0x2144DF1C


class SnapshotDamagedError(Exception):
    """A snapshot's files are not those it was published with. Never leaves this room: the truth is searched instead."""


class VectorFile:
    """An open file of vectors. Immutable, so any number of threads may read it.

    Args:
        path: of the file.
        count: vectors that it must hold.
        dim: of a vector.

    Raises:
        SnapshotDamagedError: it has another size.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, count: int, dim: int) -> None:
        self.path, self.count, self.dim, self._dtype = path, count, dim, _record(dim)
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        size = os.fstat(self._descriptor).st_size
        if size != count * self._dtype.itemsize:
            raise SnapshotDamagedError(f"{path} has {size} bytes, expected {count * self._dtype.itemsize}")

    def read(self, positions_C: NDArray[np.int64]) -> NDArray[np.float32]:
        """The unit vectors at some positions, float32, shape (C, D).

        Raises:
            SnapshotDamagedError: one of them is not what was written.
        """
        size = self._dtype.itemsize
        records = []
        for position in positions_C.tolist():
            record = os.pread(self._descriptor, size, position * size)
            if zlib.crc32(record, position) != INTACT:
                raise SnapshotDamagedError(f"{self.path} is damaged at vector {position}")
            records.append(record)
        return units(np.frombuffer(b"".join(records), self._dtype)["vector"])

    def stored(self, start: int, num: int) -> list[bytes | None]:
        """The vectors from one position on as the database stored them; None for each that is not what was written."""
        size = self._dtype.itemsize
        data = os.pread(self._descriptor, num * size, start * size)
        found: list[bytes | None] = []
        for number in range(num):
            record = data[number * size : (number + 1) * size]
            whole = zlib.crc32(record[:-4], start + number) == int.from_bytes(record[-4:], "little")
            found.append(record[:-4] if whole and len(record) == size else None)
        return found

    def chunks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """All unit vectors in order, as the position of the first and a float32 array of at most CHUNK."""
        for start in range(0, self.count, CHUNK):
            num = min(CHUNK, self.count - start)
            data = os.pread(self._descriptor, num * self._dtype.itemsize, start * self._dtype.itemsize)
            yield start, units(np.frombuffer(data, self._dtype)["vector"])

    def sample(self, num: int, seed: int) -> NDArray[np.float32]:
        """Vectors at random, without a second draw of any, in order; all where there are no more than `num`."""
        chosen = np.random.default_rng(seed).choice(self.count, min(num, self.count), replace=False)
        return self.read(np.sort(chosen))


def write_vectors(path: Path, rows_and_blobs: Iterable[tuple[int, bytes]]) -> NDArray[np.int64]:
    """Write a file of packed embeddings as they come and return their rows; memory does not grow with the vectors."""
    rows: list[int] = []
    with path.open("wb", buffering=1 << 20) as file:
        for position, (row, blob) in enumerate(rows_and_blobs):
            file.write(blob)
            file.write(zlib.crc32(blob, position).to_bytes(4, "little"))
            rows.append(row)
    return np.array(rows, np.int64)


def _record(dim: int) -> np.dtype[Any]:
    return np.dtype([("vector", STORED_DTYPE, (dim,)), ("crc32", "<u4")])
