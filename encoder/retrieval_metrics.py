"""How well nearest neighbours agree in label: rank-1, rank-5 and mAP (the protocol of LoDisc, arXiv:2403.04066).

Similarity is cosine, mAP is over the full ranked list, ties keep the order of the gallery. A query whose label nobody
else in the gallery has cannot be answered: it is counted apart and not averaged.
"""

# Q queries, G gallery pictures, N pictures that are both, D embedding dim.

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


def leave_one_out(embeddings_ND: NDArray[np.float32], labels: Sequence[str]) -> RetrievalScores:
    """Each picture is a query against all the others."""
    return _score(embeddings_ND, labels, embeddings_ND, labels, leave_self_out=True)


def query_gallery(
    queries_QD: NDArray[np.float32],
    query_labels: Sequence[str],
    gallery_GD: NDArray[np.float32],
    gallery_labels: Sequence[str],
) -> RetrievalScores:
    """Each query against the whole gallery."""
    return _score(queries_QD, query_labels, gallery_GD, gallery_labels, leave_self_out=False)


def _score(
    queries_QD: NDArray[np.float32],
    query_labels: Sequence[str],
    gallery_GD: NDArray[np.float32],
    gallery_labels: Sequence[str],
    *,
    leave_self_out: bool,
) -> RetrievalScores:
    if len(queries_QD) != len(query_labels) or len(gallery_GD) != len(gallery_labels):
        raise ValueError(
            f"{len(queries_QD)} and {len(gallery_GD)} embeddings, "
            f"but {len(query_labels)} and {len(gallery_labels)} labels"
        )
    if len(gallery_GD) == 0:
        return RetrievalScores(0.0, 0.0, 0.0, 0, len(queries_QD))
    queries_QD, gallery_GD = _unit(queries_QD), _unit(gallery_GD)
    query_labels_Q, gallery_labels_G = np.asarray(query_labels), np.asarray(gallery_labels)
    ranks, precisions, num_without = [], [], 0
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
        num_without += int((~answerable).sum())
        hits = hits[answerable]
        ranks.append(hits.argmax(axis=1))
        precision_at = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
        precisions.append((precision_at * hits).sum(axis=1) / hits.sum(axis=1))
    first = np.concatenate(ranks) if ranks else np.empty(0)
    average = np.concatenate(precisions) if precisions else np.empty(0)
    if len(first) == 0:
        return RetrievalScores(0.0, 0.0, 0.0, 0, num_without)
    return RetrievalScores(
        rank_1=float((first < 1).mean()),
        rank_5=float((first < 5).mean()),
        mean_average_precision=float(average.mean()),
        num_queries=len(first),
        num_without_positive=num_without,
    )


def _unit(embeddings_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(embeddings_ND, axis=1, keepdims=True)
    units_ND: NDArray[np.float32] = embeddings_ND / np.maximum(norms, np.finfo(np.float32).tiny)
    return units_ND
