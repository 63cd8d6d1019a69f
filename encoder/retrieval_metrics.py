"""How well nearest neighbours agree in label: rank-1, rank-5 and mAP (the protocol of LoDisc, arXiv:2403.04066).

Similarity is cosine, mAP is over the full ranked list, ties keep the order of the gallery. A query whose label nobody
else in the gallery has cannot be answered: it is counted apart and not averaged.
"""

# Q queries, A of them answerable (with a positive), G gallery pictures, N pictures that are both, D embedding dim.

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Queries scored at once: bounds the memory of the Q x G similarities.
CHUNK = 512


@dataclass(frozen=True)
class RetrievalScores:
    """Averages over the queries that have a positive.

    Attributes:
        rank_1: share whose first neighbour has their label, in [0, 1]; 0 if there is no query to average.
        rank_5: share with their label among the first five.
        mean_average_precision: mean over queries of average precision over the full list.
        num_queries: queries averaged.
        num_without_positive: queries left out because no other picture has their label.
    """

    rank_1: float
    rank_5: float
    mean_average_precision: float
    num_queries: int
    num_without_positive: int


@dataclass(frozen=True)
class QueryResults:
    """What became of each query that has a positive.

    Attributes:
        labels: of each query, A of them.
        nearest_labels: of its first neighbour.
        first_hit_A: position of the first neighbour of the same label, 0-based, int64.
        average_precision_A: over the full list, float64, in (0, 1].
        num_without_positive: queries left out because no other picture has their label.
    """

    labels: list[str]
    nearest_labels: list[str]
    first_hit_A: NDArray[np.int64]
    average_precision_A: NDArray[np.float64]
    num_without_positive: int

    def scores(self) -> RetrievalScores:
        """The averages."""
        if not self.labels:
            return RetrievalScores(0.0, 0.0, 0.0, 0, self.num_without_positive)
        return RetrievalScores(
            rank_1=float((self.first_hit_A < 1).mean()),
            rank_5=float((self.first_hit_A < 5).mean()),
            mean_average_precision=float(self.average_precision_A.mean()),
            num_queries=len(self.labels),
            num_without_positive=self.num_without_positive,
        )


def leave_one_out(embeddings_ND: NDArray[np.float32], labels: Sequence[str]) -> RetrievalScores:
    """Each picture is a query against all the others."""
    return rank_queries(embeddings_ND, labels).scores()


def query_gallery(
    queries_QD: NDArray[np.float32],
    query_labels: Sequence[str],
    gallery_GD: NDArray[np.float32],
    gallery_labels: Sequence[str],
) -> RetrievalScores:
    """Each query against the whole gallery."""
    return rank_queries(queries_QD, query_labels, gallery_GD, gallery_labels).scores()


def rank_queries(
    queries_QD: NDArray[np.float32],
    query_labels: Sequence[str],
    gallery_GD: NDArray[np.float32] | None = None,
    gallery_labels: Sequence[str] | None = None,
) -> QueryResults:
    """Rank the gallery for each query; without a gallery, the other queries (leave one out)."""
    leave_self_out = gallery_GD is None
    if gallery_GD is None or gallery_labels is None:
        gallery_GD, gallery_labels = queries_QD, query_labels
    if len(queries_QD) != len(query_labels) or len(gallery_GD) != len(gallery_labels):
        raise ValueError(
            f"{len(queries_QD)} and {len(gallery_GD)} embeddings, "
            f"but {len(query_labels)} and {len(gallery_labels)} labels"
        )
    if len(gallery_GD) == 0:
        return QueryResults([], [], np.empty(0, np.int64), np.empty(0), len(queries_QD))
    queries_QD, gallery_GD = unit(queries_QD), unit(gallery_GD)
    query_labels_Q, gallery_labels_G = np.asarray(query_labels), np.asarray(gallery_labels)
    found, nearest, first, precision = [], [], [], []
    for start in range(0, len(queries_QD), CHUNK):
        rows = slice(start, start + CHUNK)
        similarity = queries_QD[rows] @ gallery_GD.T
        relevant = query_labels_Q[rows, None] == gallery_labels_G[None, :]
        if leave_self_out:
            own = np.arange(start, start + len(similarity))
            similarity[np.arange(len(similarity)), own] = -np.inf
            relevant[np.arange(len(similarity)), own] = False
        order = np.argsort(-similarity, axis=1, kind="stable")
        hits = np.take_along_axis(relevant, order, axis=1)
        answerable = hits.any(axis=1)
        hits = hits[answerable]
        found.append(query_labels_Q[rows][answerable])
        nearest.append(gallery_labels_G[order[answerable, 0]])
        first.append(hits.argmax(axis=1))
        precision.append(np.fromiter((average_precision(np.flatnonzero(hits_G)) for hits_G in hits), np.float64))
    labels = [str(label) for part in found for label in part]
    return QueryResults(
        labels=labels,
        nearest_labels=[str(label) for part in nearest for label in part],
        first_hit_A=np.concatenate(first) if first else np.empty(0, np.int64),
        average_precision_A=np.concatenate(precision) if precision else np.empty(0),
        num_without_positive=len(queries_QD) - len(labels),
    )


def average_precision(places_P: NDArray[np.int64]) -> float:
    """Mean, over the positives of one query, of the precision at the place where each of them stands.

    Args:
        places_P: of its positives in the full ranked list, 0-based, ascending, at least one.
    """
    return float((np.arange(1, len(places_P) + 1) / (places_P + 1)).mean())


def unit(embeddings_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings at length 1; those of length 0 stay."""
    norms = np.linalg.norm(embeddings_ND, axis=1, keepdims=True)
    units_ND: NDArray[np.float32] = embeddings_ND / np.maximum(norms, np.finfo(np.float32).tiny)
    return units_ND
