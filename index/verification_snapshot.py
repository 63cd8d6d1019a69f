"""Checks of what is derived of the database: the snapshot that searches use, and what kills have left beside it.

The snapshot must be whole and be of this database: its rows those that were there at its change, its vectors bit for
bit the stored ones. In memory are the numbers of all rows and a chunk of vectors. Callers hold the lock of those who
build snapshots, shared, and began their transaction after that, so that nothing here changes meanwhile.
"""

# N vectors of the snapshot.

import sqlite3
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.following import last_seq
from index.locks import WRITER_LOCK, looking
from index.schema import PARTIAL_PREFIX
from index.snapshot import (
    ANN_DIR,
    INFO_NAME,
    ROWS_NAME,
    VECTORS_NAME,
    SnapshotInfo,
    file_crc32,
    newest_snapshot,
    open_snapshot,
)
from index.vector_file import SnapshotDamagedError, VectorFile
from index.verification_findings import Check
from index.verification_truth import CHUNK, Tell

_UNREADABLE = (OSError, ValueError, TypeError, KeyError, RuntimeError, SnapshotDamagedError)


def check_snapshot(path: Path, seq: int | None, connection: sqlite3.Connection, dim: int, tell: Tell) -> Check:
    """The snapshot of change `seq`: the newest, which is the one that searches use."""
    check = Check(name="snapshot", promise="the search snapshot is whole and that of the database", kind="cache")
    if seq is None:
        check.note = "there is none, so every search goes through the database"
        return check
    folder = path / ANN_DIR / str(seq)
    try:
        info = SnapshotInfo.loads((folder / INFO_NAME).read_text(encoding="utf-8"))
    except _UNREADABLE as error:
        check.add(f"{folder / INFO_NAME} cannot be read: {error}")
        return check
    check.looked_at = info.count
    if (info.seq, info.dim) != (seq, dim):
        check.add(f"{folder} is of change {info.seq} and {info.dim} dimensions, expected {seq} and {dim}")
    elif seq > last_seq(connection):
        check.add(f"{folder} is ahead of the database, whose last change is {last_seq(connection)}")
    elif _files_whole(folder, info, check):
        try:
            rows_N: NDArray[np.int64] = np.load(folder / ROWS_NAME, mmap_mode="r" if info.count else None)
            vectors = VectorFile(folder / VECTORS_NAME, info.count, info.dim)
            open_snapshot(folder, info)
        except _UNREADABLE as error:
            check.add(str(error))
            return check
        _check_rows(folder, rows_N, connection, seq, check)
        _check_vectors(folder, rows_N, vectors, connection, check, tell)
    return check


def check_leftovers(path: Path) -> Check:
    """What a killed process left behind. It is never used, and the next run or compaction removes it."""
    check = Check(name="leftovers", promise="no half-made files of killed processes are left", kind="leftover")
    newest = newest_snapshot(path)
    found = [folder for folder in sorted((path / ANN_DIR).glob("*")) if folder.is_dir() and folder.name != str(newest)]
    with looking(path / WRITER_LOCK, wait=False) as nobody_writes:
        if nobody_writes:
            found += sorted(path.glob(f"{PARTIAL_PREFIX}*"))
        else:
            check.note = "a bulk run is at work; what it has begun is not looked at"
    for leftover in found:
        check.add(str(leftover))
    return check


def _files_whole(folder: Path, info: SnapshotInfo, check: Check) -> bool:
    """Whether all files with a checksum of their own are what was published."""
    before = check.found
    for name, expected in info.crc32.items():
        try:
            if file_crc32(folder / name) != expected:
                check.add(f"{folder / name} is not the file that was published")
        except OSError as error:
            check.add(f"{folder / name} cannot be read: {error.strerror or error}")
    return check.found == before


def _check_rows(
    folder: Path, rows_N: NDArray[np.int64], connection: sqlite3.Connection, seq: int, check: Check
) -> None:
    """The rows are those that were there at the snapshot's change."""
    there = _numbers(
        connection,
        "SELECT row FROM change WHERE seq <= ? GROUP BY row HAVING SUM(kind = 'remove') = 0 ORDER BY row",
        (seq,),
    )
    for row in np.setdiff1d(rows_N, there).tolist():
        check.add(f"{folder} holds row {row}, which was not there at change {seq}")
    kept = np.intersect1d(there, _numbers(connection, "SELECT row FROM embedding ORDER BY row"))
    for row in np.setdiff1d(kept, rows_N).tolist():
        check.add(f"{folder} lacks row {row}, which was there at change {seq}")


def _check_vectors(
    folder: Path,
    rows_N: NDArray[np.int64],
    vectors: VectorFile,
    connection: sqlite3.Connection,
    check: Check,
    tell: Tell,
) -> None:
    """Each vector is what was written, and the stored one where the item is still there."""
    for start in range(0, len(rows_N), CHUNK):
        rows = rows_N[start : start + CHUNK].tolist()
        stored = dict(
            connection.execute("SELECT row, vector FROM embedding WHERE row BETWEEN ? AND ?", (rows[0], rows[-1]))
        )
        for position, (row, vector) in enumerate(zip(rows, vectors.stored(start, len(rows)), strict=True), start):
            if vector is None:
                check.add(f"{folder / VECTORS_NAME} is damaged at vector {position}")
            elif stored.get(row, vector) != vector:
                check.add(f"{folder / VECTORS_NAME} has another vector for row {row} than the database")
        tell("snapshot", start + len(rows), len(rows_N))


def _numbers(connection: sqlite3.Connection, statement: str, parameters: tuple[int, ...] = ()) -> NDArray[np.int64]:
    return np.fromiter((row for (row,) in connection.execute(statement, parameters)), np.int64)
