"""One FAISS snapshot: everything up to one change of the catalogue, in a folder that is never altered.

    ann/<seq>/index.faiss    codes, in the order of rows.npy; mapped into memory
    ann/<seq>/vectors.bin    the vectors themselves, which score what the codes find; see `index.vector_file`
    ann/<seq>/rows.npy       the row of each, ascending; mapped into memory
    ann/<seq>/snapshot.json  what it is, how it is searched, what it was measured at, with checksums

A snapshot is a cache: it may be deleted at any time, and one that is not what was published is not used. FAISS and
numpy trust what they parse, so index.faiss and rows.npy are checked whole before they are (CRC-32: 0.15 s a million
items); each record of vectors.bin is checked whenever it is read. Not covered: what flips in a mapped file after that.
"""

# Q queries, N vectors, K neighbours, C candidates.

import json
import math
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from index.ann_candidates import FLAT
from index.ann_choice import Choice, Trial
from index.ann_search import Selection, candidates, candidates_of_all, most_effort, search_parameters
from index.ann_tuning import CANDIDATE_FACTORS, Point, interpolated
from index.ann_wishes import IndexWishes
from index.schema import ANN_DIR as ANN_DIR
from index.vector_file import SnapshotDamagedError, VectorFile

INDEX_NAME, VECTORS_NAME, ROWS_NAME, INFO_NAME = "index.faiss", "vectors.bin", "rows.npy", "snapshot.json"
# So few vectors of a snapshot are scored one by one: sooner than an index finds them among all that is gone.
FEW = 2000
WIDENING = 2.5


@dataclass(frozen=True, kw_only=True)
class SnapshotInfo:
    """What a snapshot says of itself.

    Attributes:
        seq: the last change it holds.
        count: number of vectors.
        dim: of a vector.
        choice: its index type, and what that was chosen from.
        wishes: what was asked for.
        points: how it is searched, by depth; empty where it is exact.
        recall: measured recall@10 against exact search, in [0, 1], on queries other than those it was tuned on.
        latency_ms: measured median of one search on one thread.
        memory_bytes: of index.faiss and rows.npy, which a searching process maps.
        crc32: of index.faiss and rows.npy, by name.
    """

    seq: int
    count: int
    dim: int
    choice: Choice
    wishes: IndexWishes
    points: tuple[Point, ...]
    recall: float
    latency_ms: float
    memory_bytes: int
    crc32: dict[str, int]

    @property
    def kind(self) -> str:
        """Index type."""
        return self.choice.kind

    def dumps(self) -> str:
        """As JSON, with a checksum of its own."""
        document = asdict(self)
        return json.dumps({"crc32": _text_crc32(document), "snapshot": document}, indent=1)

    @classmethod
    def loads(cls, text: str) -> "SnapshotInfo":
        """From JSON.

        Raises:
            ValueError, TypeError, KeyError: it is no such document, or an altered one.
        """
        whole = json.loads(text)
        document: dict[str, Any] = whole["snapshot"]
        if _text_crc32(document) != whole["crc32"]:
            raise ValueError(f"{INFO_NAME} is not what was published")
        choice = document.pop("choice")
        trials = tuple(Trial(**trial) for trial in choice.pop("trials"))
        return cls(
            choice=Choice(trials=trials, **choice),
            wishes=IndexWishes(**document.pop("wishes")),
            points=tuple(Point(**point) for point in document.pop("points")),
            **document,
        )


class Snapshot:
    """A snapshot, loaded. Immutable, so any number of threads may search it.

    Attributes:
        info, vectors, rows_N: as given.
        most_effort: see `index.ann_search`.

    Args:
        info: what it says of itself.
        index: positions by vector.
        vectors: by position.
        rows_N: by position, ascending.
    """

    def __init__(self, info: SnapshotInfo, index: faiss.Index, vectors: VectorFile, rows_N: NDArray[np.int64]) -> None:
        self.info, self._index, self.vectors, self.rows_N = info, index, vectors, rows_N
        self.most_effort = most_effort(index)
        self._plans: dict[int, tuple[int, Any]] = {}  # how to look for k where all is selected, by k

    def search(
        self, queries_QD: NDArray[np.float32], k: int, selection: Selection | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The nearest vectors among the selected.

        Args:
            queries_QD: float32, shape (Q, D).
            k: neighbours wanted.
            selection: what may be found; None for everything.

        Returns:
            Scores (Q, K) and rows (Q, K), best first; where there are fewer, the row is -1.

        Raises:
            SnapshotDamagedError: a vector is not what was written.
        """
        num_selected = selection.num_selected if selection is not None else self.info.count
        k = min(k, num_selected)
        if k == 0:
            return np.empty((len(queries_QD), 0), np.float32), np.empty((len(queries_QD), 0), np.int64)
        if self.info.kind == FLAT.name:
            params = search_parameters(self._index, self.most_effort, selection.selector if selection else None)
            scores_QK, positions_QK = self._index.search(queries_QD, k, params=params)
            return scores_QK, np.where(positions_QK < 0, -1, self.rows_N[positions_QK])
        if num_selected <= FEW:
            few = np.arange(self.info.count) if selection is None else selection.positions()
            found = [self._scored(query_D, few, k) for query_D in queries_QD]
        else:
            found = [self._scored(query_D, self._found(query_D, k, selection), k) for query_D in queries_QD]
        return np.stack([scores_K for scores_K, _ in found]), np.stack([rows_K for _, rows_K in found])

    def positions_of(self, rows: set[int]) -> NDArray[np.int64]:
        """Positions of those rows that the snapshot holds."""
        wanted = np.fromiter(rows, np.int64, len(rows))
        positions: NDArray[np.int64] = np.searchsorted(self.rows_N, wanted)
        inside = positions < len(self.rows_N)
        positions, wanted = positions[inside], wanted[inside]
        held: NDArray[np.int64] = positions[self.rows_N[positions] == wanted]
        return held

    def _found(self, query_D: NDArray[np.float32], k: int, selection: Selection | None) -> NDArray[np.int64]:
        """Positions of candidates for one query, at least k wherever there are as many.

        Of a selection, k are found among the nearest of all, as deep as it takes: an index tuned for that depth has
        found nearly all of those, whether little is selected anywhere or nothing around this query. Beyond the depths
        that it was tuned for, all that is selected is looked at.
        """
        count, points = self.info.count, self.info.points
        if selection is None:
            if k not in self._plans:  # at most as many as there are k
                effort, num = self._plan(k)
                self._plans[k] = (num, search_parameters(self._index, effort, None))
            num, params = self._plans[k]
            return _valid(self._index.search(query_D[None], num, params=params)[1][0])
        most = k * CANDIDATE_FACTORS[-1]
        depth = k * count / selection.num_selected
        while depth <= points[-1].depth:
            nearest = self._nearest(query_D, depth)
            selected = selection.holds(nearest)
            if selected[: math.ceil(depth)].sum() >= k:
                return nearest[selected][:most]
            depth *= WIDENING
        num = min(most, selection.num_selected)
        return _valid(candidates_of_all(self._index, query_D[None], num, selection)[0])

    def _nearest(self, query_D: NDArray[np.float32], depth: float) -> NDArray[np.int64]:
        """Candidates for the nearest of all, down to a depth; not fewer than the index was tuned for."""
        effort, num = self._plan(depth)
        return _valid(candidates(self._index, query_D[None], num, effort, None)[0])

    def _plan(self, depth: float) -> tuple[int, int]:
        """Effort and number of candidates with which the nearest of all are found, down to a depth."""
        depth = max(depth, self.info.points[0].depth)
        effort, factor = interpolated(self.info.points, depth, self.most_effort)
        return effort, min(math.ceil(depth * factor), self.info.count)

    def _scored(
        self, query_D: NDArray[np.float32], positions_C: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Exact scores and rows of the k best candidates, filled up with -1 to k."""
        scores_C = self.vectors.read(positions_C) @ query_D
        best_K = np.argsort(-scores_C, kind="stable")[:k]
        scores_K, rows_K = np.full(k, -np.inf, np.float32), np.full(k, -1, np.int64)
        scores_K[: len(best_K)] = scores_C[best_K]
        rows_K[: len(best_K)] = self.rows_N[positions_C[best_K]]
        return scores_K, rows_K


def _valid(positions_C: NDArray[np.int64]) -> NDArray[np.int64]:
    """Without the -1 of an index that found fewer than it was asked for."""
    found: NDArray[np.int64] = positions_C[positions_C >= 0]
    return found


def newest_snapshot(catalogue: Path) -> int | None:
    """The last change of the newest published snapshot, if there is one."""
    seqs = [int(path.name) for path in (catalogue / ANN_DIR).glob("*") if path.name.isdigit()]
    return max(seqs, default=None)


def load_snapshot(catalogue: Path, seq: int, dim: int) -> Snapshot:
    """Check and load a published snapshot.

    Raises:
        SnapshotDamagedError: a file is missing, unreadable, or not the one that was published.
    """
    folder = catalogue / ANN_DIR / str(seq)
    try:
        info = SnapshotInfo.loads((folder / INFO_NAME).read_text(encoding="utf-8"))
        for name, expected in info.crc32.items():
            if file_crc32(folder / name) != expected:
                raise SnapshotDamagedError(f"{folder / name} is not the file that was published")
        snapshot = open_snapshot(folder, info)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise SnapshotDamagedError(f"{folder} cannot be read: {error}") from error
    if (info.seq, info.dim) != (seq, dim):
        raise SnapshotDamagedError(f"{folder} does not fit the catalogue")
    return snapshot


def read_info(catalogue: Path, seq: int) -> SnapshotInfo | None:
    """What a snapshot says of itself, None if that cannot be read."""
    try:
        return SnapshotInfo.loads((catalogue / ANN_DIR / str(seq) / INFO_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def open_snapshot(folder: Path, info: SnapshotInfo) -> Snapshot:
    """Map the files of a snapshot that are known to be whole."""
    index = map_index(folder / INDEX_NAME, info.choice.factory)
    rows_N = np.load(folder / ROWS_NAME, mmap_mode="r" if info.count else None)
    vectors = VectorFile(folder / VECTORS_NAME, info.count, info.dim)
    if (index.d, index.ntotal, len(rows_N)) != (info.dim, info.count, info.count):
        raise SnapshotDamagedError(f"{folder} holds files that do not belong together")
    # Plain instead of memmap: indexing the subclass costs microseconds at every search.
    return Snapshot(info, index, vectors, np.asarray(rows_N))


def map_index(path: Path, factory: str) -> faiss.Index:
    """An index whose codes stay in its file, shared by all processes that search it, wherever FAISS can."""
    if "IVF" not in factory:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    stored = faiss.extract_index_ivf(index).invlists
    lists = faiss.downcast_InvertedLists(stored) if stored is not None else None
    if isinstance(lists, faiss.OnDiskInvertedLists):
        lists.prefetch_nthread = 0  # else every search starts threads that only touch pages
    return index


def file_crc32(path: Path) -> int:
    """CRC-32 of a file; the interpreter is free for other threads meanwhile."""
    crc32 = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            crc32 = zlib.crc32(block, crc32)
    return crc32


def _text_crc32(document: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(document, sort_keys=True).encode())
