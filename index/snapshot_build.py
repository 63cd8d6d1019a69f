"""How a snapshot comes to be: written aside, its index chosen, tuned and measured, published by rename.

In memory are the index, the vectors that it is trained on and a chunk of the others: at a million embeddings of 384
numbers about 0.8 GB, half of what the raw vectors would take.
"""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np

from encoder.errors import CatalogueError, ConfigError
from encoder.shell_words import path_word
from index.ann_candidates import FLAT, train_and_fill
from index.ann_choice import LEAST_APPROXIMATE, choose
from index.ann_search import Selection, candidates_of_all
from index.ann_tuning import DEPTHS, NUM_QUERIES, TIE_COSINE, Point, Truth, exact_truth, harder, tune
from index.ann_wishes import IndexWishes
from index.schema import PARTIAL_PREFIX
from index.snapshot import (
    ANN_DIR,
    INDEX_NAME,
    INFO_NAME,
    ROWS_NAME,
    VECTORS_NAME,
    Snapshot,
    SnapshotInfo,
    file_crc32,
    newest_snapshot,
    open_snapshot,
    read_info,
)
from index.vector_file import VectorFile, write_vectors

logger = logging.getLogger(__name__)

TUNING_SEED, MEASURING_SEED = 2, 3
MEASURED_QUERIES = 500


def build_snapshot(
    catalogue: Path,
    stored: Callable[[], AbstractContextManager[tuple[int, Iterable[tuple[int, bytes]]]]],
    dim: int,
    wishes: IndexWishes,
) -> SnapshotInfo:
    """Build a snapshot aside, measure it, and publish it by rename.

    Args:
        catalogue: its folder.
        stored: gives the last change, and the rows, ascending, and packed embeddings as of it. It is left as soon as
            they are copied, so that no transaction is kept open while the index is built.
        dim: of a vector.
        wishes: what its index is chosen by.

    Raises:
        CatalogueError: it cannot be written.
        ConfigError: FAISS cannot build, or cannot search as we must, what `wishes.faiss` names.
    """
    ann = catalogue / ANN_DIR
    try:
        ann.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=ann) as folder:
            fresh = Path(folder) / "snapshot"
            fresh.mkdir()
            with stored() as (seq, rows_and_blobs):
                rows_N = write_vectors(fresh / VECTORS_NAME, rows_and_blobs)
            np.save(fresh / ROWS_NAME, rows_N)
            info = _build_index(catalogue, fresh, seq, VectorFile(fresh / VECTORS_NAME, len(rows_N), dim), wishes)
            (fresh / INFO_NAME).write_text(info.dumps(), encoding="utf-8")
            published = ann / str(seq)
            if published.exists():  # moved away whole: a kill while it is being deleted would leave half of it there
                published.rename(Path(folder) / "replaced")
            fresh.replace(published)
    except (OSError, RuntimeError) as error:  # FAISS tells of a full disk with a RuntimeError
        raise CatalogueError(
            f"the snapshot in {ann} cannot be written ({str(error).splitlines()[0]}); no item is lost: "
            f"see whether the disk is full, then run `lodisc index compact {path_word(catalogue)}`"
        ) from error
    return info


def remove_other_snapshots(catalogue: Path, keep: int) -> None:
    """Delete every snapshot but one, and what a killed compaction left; callers are the only one that compacts.

    A process that has an older snapshot open keeps its files until it lets go of them.
    """
    for path in (catalogue / ANN_DIR).iterdir():
        if path.is_dir() and path.name != str(keep):
            shutil.rmtree(path, ignore_errors=True)  # a process that is just opening it takes the newer one


def _build_index(catalogue: Path, fresh: Path, seq: int, vectors: VectorFile, wishes: IndexWishes) -> SnapshotInfo:
    newest = newest_snapshot(catalogue)
    last = read_info(catalogue, newest) if newest is not None else None
    choice = choose(vectors, wishes, last.choice if last and last.wishes == wishes else None, fresh)
    index = _built(choice.factory, vectors, asked=wishes.faiss is not None)
    points: tuple[Point, ...] = ()
    if choice.kind != FLAT.name:
        points = tune(index, vectors, exact_truth(vectors, *_most_asked(), TUNING_SEED), wishes.recall)
    faiss.write_index(index, str(fresh / INDEX_NAME))
    del index  # from here on it is the written one that is measured
    files = {name: file_crc32(fresh / name) for name in (INDEX_NAME, ROWS_NAME)}
    info = SnapshotInfo(
        seq=seq, count=vectors.count, dim=vectors.dim, choice=choice, wishes=wishes, points=points,
        recall=1.0, latency_ms=0.0, crc32=files,
        memory_bytes=sum((fresh / name).stat().st_size for name in files),
    )  # fmt: skip
    snapshot = open_snapshot(fresh, info)
    if vectors.count < LEAST_APPROXIMATE:
        return info
    truth = exact_truth(vectors, MEASURED_QUERIES, DEPTHS[0], MEASURING_SEED)
    recall, latency_ms = _measure(snapshot, truth)
    most = snapshot.most_effort
    while recall < wishes.recall and any(point.effort < most for point in info.points):
        info = replace(info, points=harder(info.points, most))
        recall, latency_ms = _measure(open_snapshot(fresh, info), truth)
    if recall < wishes.recall:
        logger.warning("snapshot %d (%s) has recall@10 %.3f, below %g", seq, choice.kind, recall, wishes.recall)
    return replace(info, recall=recall, latency_ms=latency_ms)


def _most_asked() -> tuple[int, int]:
    """Queries and neighbours that tuning all depths needs."""
    return max(NUM_QUERIES.values()), max(DEPTHS)


def _built(factory: str, vectors: VectorFile, *, asked: bool) -> faiss.Index:
    """The index; what a person asked for and FAISS will not do is that person's error."""
    try:
        index = train_and_fill(factory, vectors)
        candidates_of_all(index, np.zeros((1, vectors.dim), np.float32), 1, Selection.everything(vectors.count))
    except RuntimeError as error:
        if not asked:
            raise
        raise ConfigError(
            f"FAISS cannot build {factory!r} of {vectors.count} vectors, or cannot leave removed items out of its "
            f"searches ({str(error).splitlines()[-1]}); name another with --faiss, or let it be chosen with --recall"
        ) from error
    return index


def _measure(snapshot: Snapshot, truth: Truth) -> tuple[float, float]:
    """Recall@10 and the median milliseconds of one search, each query struck from its own answers."""
    count = snapshot.info.count
    k = min(DEPTHS[0], count - 1)
    hits, times = 0, []
    for query, query_D in enumerate(truth.queries_QD):
        started = time.perf_counter()
        cosines_QK, rows_QK = snapshot.search(query_D[None], k + 1)
        times.append(time.perf_counter() - started)
        others_K = cosines_QK[0][rows_QK[0] != snapshot.rows_N[truth.positions_Q[query]]][:k]
        # By score and not by position, so that copies of one picture may stand for each other.
        hits += int((others_K >= truth.cosines_QT[query][k - 1] - 10 * TIE_COSINE).sum())
    return hits / (k * len(truth.queries_QD)), 1000 * float(np.median(times))
