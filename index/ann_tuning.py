"""How hard an index must look: found by measuring recall against exact search on queries that it does not hold.

A query is a vector of the catalogue that is struck from its own answers. An index is tuned for several depths, since
what finds ten neighbours misses many of a thousand; a search takes the depth that covers its k, or rather
k / (share of the snapshot still there), because what has been removed lies between a query and its neighbours.
"""

# Q queries, N vectors, T true neighbours, C candidates.

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import faiss
import numpy as np
from numpy.typing import NDArray

from index.ann_search import candidates, most_effort
from index.vector_file import VectorFile

DEPTHS = (10, 100, 1000)
NUM_QUERIES = {10: 500, 100: 200, 1000: 40}
# Tuning aims so far beyond the target, as a share of the way to 1: its queries are only a sample.
MARGIN = 0.25
CANDIDATE_FACTORS = (1, 2, 4, 8, 16, 32)
MOST_CANDIDATES = 4096
NUM_TIMED = 50
# Vectors of equal content are equally near; so many beyond the last true neighbour are looked at for ties.
TIES = 50
TIE_COSINE = 1e-6


@dataclass(frozen=True)
class Point:
    """How to search at a depth.

    Attributes:
        depth: neighbours that it was tuned for.
        effort: see `index.ann_search`.
        factor: candidates scored exactly for each neighbour wanted.
        recall: share of the true neighbours found by the tuning queries.
        latency_ms: median of one query on one thread.
    """

    depth: int
    effort: int
    factor: int
    recall: float
    latency_ms: float


@dataclass(frozen=True)
class Truth:
    """Queries with their true neighbours.

    Attributes:
        positions_Q: of the queries among the vectors.
        queries_QD: themselves.
        neighbours_QT: positions, best first, without the query itself.
        cosines_QT: of those.
    """

    positions_Q: NDArray[np.int64]
    queries_QD: NDArray[np.float32]
    neighbours_QT: NDArray[np.int64]
    cosines_QT: NDArray[np.float32]

    def right(self, query: int, depth: int) -> NDArray[np.int64]:
        """The true neighbours of one query, more than `depth` where several are equally near."""
        cosines_T = self.cosines_QT[query]
        right: NDArray[np.int64] = self.neighbours_QT[query][cosines_T >= cosines_T[depth - 1] - TIE_COSINE]
        return right


def exact_truth(vectors: VectorFile, num_queries: int, depth: int, seed: int) -> Truth:
    """Exact neighbours of randomly chosen vectors among all others; goes through the file once."""
    chosen = np.random.default_rng(seed).choice(vectors.count, min(num_queries, vectors.count), replace=False)
    positions_Q = np.sort(chosen)
    queries_QD = vectors.read(positions_Q)
    wanted = min(depth + TIES, vectors.count - 1)
    best = faiss.ResultHeap(len(positions_Q), wanted + 1, keep_max=True)
    for start, chunk_ND in vectors.chunks():
        cosines_QC, places_QC = faiss.knn(
            queries_QD, chunk_ND, min(wanted + 1, len(chunk_ND)), metric=faiss.METRIC_INNER_PRODUCT
        )
        best.add_result(cosines_QC, places_QC + start)
    best.finalize()
    # The query itself is struck out; where copies of it push it off the list, the last one is.
    strange_QT = positions_Q[:, None] != best.I
    strange_QT[strange_QT.all(axis=1), -1] = False
    return Truth(
        positions_Q,
        queries_QD,
        best.I[strange_QT].reshape(len(positions_Q), wanted),
        best.D[strange_QT].reshape(len(positions_Q), wanted),
    )


def tune(index: faiss.Index, vectors: VectorFile, truth: Truth, target: float) -> tuple[Point, ...]:
    """An index's cheapest point that meets the target, for each depth; the best it can do where none does."""
    aim = target + MARGIN * (1 - target)
    depths = [depth for depth in DEPTHS if depth < vectors.count] or [vectors.count - 1]
    return tuple(_tune_depth(index, vectors, truth, depth, aim) for depth in depths)


def tune_first(index: faiss.Index, vectors: VectorFile, truth: Truth, target: float) -> Point:
    """The point of the least depth alone, by which index types are compared."""
    return _tune_depth(index, vectors, truth, min(DEPTHS[0], vectors.count - 1), target)


def interpolated(points: Sequence[Point], depth: float, most: int) -> tuple[int, int]:
    """Effort and factor for any depth: between the points on a logarithmic scale, beyond the last in proportion.

    Args:
        points: of one index, by depth.
        depth: wanted.
        most: the most effort that there is.
    """
    depths = np.log([point.depth for point in points])
    effort = np.exp(np.interp(np.log(depth), depths, np.log([point.effort for point in points])))
    factor = np.exp(np.interp(np.log(depth), depths, np.log([point.factor for point in points])))
    beyond = max(1.0, depth / points[-1].depth)
    # Rounded up, less what a logarithm loses.
    return min(most, math.ceil(effort * beyond - 1e-6)), math.ceil(factor - 1e-6)


def harder(points: Sequence[Point], most: int) -> tuple[Point, ...]:
    """The points with a quarter more effort."""
    return tuple(replace(point, effort=min(most, math.ceil(1.25 * point.effort))) for point in points)


def _tune_depth(index: faiss.Index, vectors: VectorFile, truth: Truth, depth: int, target: float) -> Point:
    num_queries = min(NUM_QUERIES.get(depth, NUM_QUERIES[DEPTHS[0]]), len(truth.positions_Q))
    factors = [one for one in CANDIDATE_FACTORS if one == 1 or (one - 1) * depth < vectors.count]
    factors = [one for one in factors if one * depth <= max(MOST_CANDIDATES, depth)]
    best: Point | None = None
    last = Point(depth, 1, 1, 0.0, 0.0)
    for effort in efforts(most_effort(index)):
        recalls = _recalls(index, truth, num_queries, depth, effort, factors)
        meets = [factor for factor, recall in zip(factors, recalls, strict=True) if recall >= target]
        if not meets:
            last = Point(depth, effort, factors[-1], recalls[-1], 0.0)
            continue
        latency_ms = _latency_ms(index, vectors, truth, depth, effort, meets[0])
        if best is not None and latency_ms >= best.latency_ms:
            break  # looking harder does not pay by fewer candidates any more
        best = Point(depth, effort, meets[0], recalls[factors.index(meets[0])], latency_ms)
        if meets[0] == 1:
            break
    if best is not None:
        return best
    return Point(
        depth, last.effort, last.factor, last.recall,
        _latency_ms(index, vectors, truth, depth, last.effort, last.factor),
    )  # fmt: skip


def efforts(most: int) -> list[int]:
    """What is tried: half and whole powers of two up to the most there is."""
    tried = sorted({round(2 ** (step / 2)) for step in range(2 * most.bit_length())})
    return [effort for effort in tried if effort < most] + [most]


def _recalls(
    index: faiss.Index, truth: Truth, num_queries: int, depth: int, effort: int, factors: Sequence[int]
) -> list[float]:
    """Recall for each number of candidates a neighbour, of one search with the most."""
    most = min(depth * factors[-1] + 1, index.ntotal)
    found_QC = candidates(index, truth.queries_QD[:num_queries], most, effort, None)
    hits = np.zeros(len(factors))
    for query in range(num_queries):
        others = found_QC[query][found_QC[query] != truth.positions_Q[query]]
        right_C = np.isin(others, truth.right(query, depth))
        hits += [min(depth, int(right_C[: depth * factor].sum())) for factor in factors]
    return [float(share) for share in hits / (num_queries * depth)]


def _latency_ms(index: faiss.Index, vectors: VectorFile, truth: Truth, depth: int, effort: int, factor: int) -> float:
    """Median of single queries with the scoring of their candidates."""
    times = []
    for query_D in truth.queries_QD[:NUM_TIMED]:
        started = time.perf_counter()
        found = candidates(index, query_D[None], min(depth * factor, index.ntotal), effort, None)[0]
        vectors.read(found[found >= 0]) @ query_D
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times))
