"""One FAISS snapshot: everything up to one change of the catalogue, in a folder that is never altered.

    ann/<seq>/index.faiss    vectors, in the order of rows.npy
    ann/<seq>/rows.npy       the row of each
    ann/<seq>/snapshot.json  what it is, with checksums

A snapshot is a cache: it may be deleted at any time, and one that does not match its checksums is not used.
"""

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from encoder.errors import CatalogueError
from index.schema import PARTIAL_PREFIX

ANN_DIR = "ann"
KIND = "Flat"
RECALL_SAMPLES = 100
RECALL_AT = 10
# So few vectors are scored one by one, exactly whatever the index type: sooner than an index looks through all others,
# and an approximate one might find none of them. Measured by benchmarks/index_filters.py.
FEW = 1000


class SnapshotDamagedError(Exception):
    """A snapshot's files are not those it was published with. Never leaves this room: the truth is searched instead."""


@dataclass(frozen=True, kw_only=True)
class SnapshotInfo:
    """What a snapshot says of itself.

    Attributes:
        seq: the last change it holds.
        count: number of vectors.
        dim: of a vector.
        kind: FAISS index type.
        recall: measured recall@10 against exact search, in [0, 1].
        sha256: of index.faiss and rows.npy, by name.
    """

    seq: int
    count: int
    dim: int
    kind: str
    recall: float
    sha256: dict[str, str]


class Snapshot:
    """A published snapshot, loaded. Immutable, so any number of threads may search it."""

    def __init__(self, info: SnapshotInfo, index: faiss.Index, rows_N: NDArray[np.int64]) -> None:
        self.info, self._index, self.rows_N = info, index, rows_N

    def search(
        self, queries_QD: NDArray[np.float32], k: int, removed_N: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The nearest vectors that are not removed.

        Args:
            queries_QD: float32, shape (Q, D).
            k: neighbours wanted.
            removed_N: True where a position of the snapshot may not be found; None if all may.

        Returns:
            Scores (Q, K) and rows (Q, K), best first; where there are fewer, the row is -1.
        """
        num_left = len(self.rows_N) if removed_N is None else int((~removed_N).sum())
        k = min(k, num_left)
        if k == 0:
            return np.empty((len(queries_QD), 0), np.float32), np.empty((len(queries_QD), 0), np.int64)
        params = None
        if removed_N is not None:
            if num_left <= FEW:
                return self._scored(queries_QD, k, np.flatnonzero(~removed_N))
            bits = np.packbits(~removed_N, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(removed_N), faiss.swig_ptr(bits))
            params = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]  # set by faiss's Python layer
        scores_QK, positions_QK = self._index.search(queries_QD, k, params=params)
        return scores_QK, np.where(positions_QK < 0, -1, self.rows_N[positions_QK])

    def _scored(
        self, queries_QD: NDArray[np.float32], k: int, positions_F: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores and rows of the k best of a few positions."""
        scores_QF = queries_QD @ self._index.reconstruct_batch(positions_F).T
        best_QK = np.argsort(-scores_QF, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores_QF, best_QK, axis=1), self.rows_N[positions_F[best_QK]]


def build_snapshot(
    catalogue: Path, seq: int, rows_N: NDArray[np.int64], vectors_ND: NDArray[np.float32], dim: int
) -> SnapshotInfo:
    """Build a snapshot aside, measure its recall, and publish it by rename.

    Exact search (Flat) at every size for now: right, and fast enough to some hundred thousand items.

    Raises:
        CatalogueError: it cannot be written.
    """
    index = faiss.IndexFlatIP(dim)
    index.add(vectors_ND)
    ann = catalogue / ANN_DIR
    recall = _measure_recall(index, vectors_ND)
    try:
        ann.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=ann) as folder:
            fresh = Path(folder) / "snapshot"
            fresh.mkdir()
            faiss.write_index(index, str(fresh / "index.faiss"))
            np.save(fresh / "rows.npy", rows_N)
            sha256 = {name: _sha256(fresh / name) for name in ("index.faiss", "rows.npy")}
            info = SnapshotInfo(seq=seq, count=len(rows_N), dim=dim, kind=KIND, recall=recall, sha256=sha256)
            (fresh / "snapshot.json").write_text(json.dumps(asdict(info)), encoding="utf-8")
            published = ann / str(seq)
            if published.exists():
                shutil.rmtree(published)
            fresh.replace(published)
    except (OSError, RuntimeError) as error:  # FAISS tells of a full disk with a RuntimeError
        raise CatalogueError(
            f"the snapshot in {ann} cannot be written ({str(error).splitlines()[0]}); no item is lost: "
            f"see whether the disk is full, then run `lodisc index compact {catalogue}`"
        ) from error
    return info


def newest_snapshot(catalogue: Path) -> int | None:
    """The last change of the newest published snapshot, if there is one."""
    seqs = [int(path.name) for path in (catalogue / ANN_DIR).glob("*") if path.name.isdigit()]
    return max(seqs, default=None)


def load_snapshot(catalogue: Path, seq: int, dim: int) -> Snapshot:
    """Load and check a published snapshot.

    Raises:
        SnapshotDamagedError: a file is missing, unreadable, or not the one that was published.
    """
    folder = catalogue / ANN_DIR / str(seq)
    try:
        info = SnapshotInfo(**json.loads((folder / "snapshot.json").read_text(encoding="utf-8")))
        for name, expected in info.sha256.items():
            if _sha256(folder / name) != expected:
                raise SnapshotDamagedError(f"{folder / name} is not the file that was published")
        index = faiss.read_index(str(folder / "index.faiss"))
        rows_N = np.load(folder / "rows.npy")
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise SnapshotDamagedError(f"{folder} cannot be read: {error}") from error
    if (info.seq, info.dim, index.d, index.ntotal) != (seq, dim, dim, len(rows_N)):
        raise SnapshotDamagedError(f"{folder} does not fit the catalogue")
    return Snapshot(info, index, rows_N)


def remove_other_snapshots(catalogue: Path, keep: int) -> None:
    """Delete every snapshot but one. A process that has an older one loaded keeps it in memory."""
    for path in (catalogue / ANN_DIR).iterdir():
        if path.is_dir() and path.name != str(keep):
            shutil.rmtree(path, ignore_errors=True)  # a process that is just opening it falls back to the truth


def _measure_recall(index: faiss.Index, vectors_ND: NDArray[np.float32]) -> float:
    """Recall@10 of the index against exact search in numpy, on vectors of its own as queries."""
    if len(vectors_ND) == 0:
        return 1.0
    k = min(RECALL_AT, len(vectors_ND))
    sample = np.random.default_rng(0).choice(len(vectors_ND), min(RECALL_SAMPLES, len(vectors_ND)), replace=False)
    _, found = index.search(vectors_ND[sample], k)
    exact_scores = vectors_ND[sample] @ vectors_ND.T
    threshold = np.partition(exact_scores, -k, axis=1)[:, -k]
    hits = np.take_along_axis(exact_scores, found, axis=1) >= threshold[:, None] - 1e-6
    return float(hits.mean())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
