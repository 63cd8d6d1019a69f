"""Retrieval re-ranked by pivotal patches, by the protocol of its set.

The projection of the patches is learnt on the train pictures and the one weight fitted on them, leave one out, as
`lodisc index local` does for a catalogue: this row reads the labels of train, for that one number.
"""

# Q test pictures that have a positive, N pictures that are searched, C candidates.

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from quality_embedding import Embedded
from quality_measure import Outcomes
from quality_pictures import PhotographSet

from encoder.retrieval_metrics import average_precision, unit
from index.answers.local_build import LEARN_FROM
from index.answers.local_features import LocalFeatures
from index.answers.patch_projection import learn_projection
from index.answers.rerank_fit import DEFAULT_SAMPLE, WEIGHTS, with_weights
from index.answers.reranking import CANDIDATES, combined, local_scores

Query = tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]


def measure_reranked(each: PhotographSet, test: Embedded, train: Embedded) -> tuple[Outcomes, float]:
    """Outcomes of the retrieval figures, and the weight that was fitted."""
    drawn = np.random.default_rng(0).permutation(len(train.patches))[:LEARN_FROM]
    projection = learn_projection([train.patches[place] for place in np.sort(drawn).tolist()])
    asked = _Pictures(test, [projection.project(patches) for patches in test.patches], each.test.labels)
    known = _Pictures(train, [projection.project(patches) for patches in train.patches], each.train.labels)
    weight = _fitted(known)
    places = [
        _places(*query, weight)
        for query in _queries(asked, known if each.gallery_is_train else None, range(len(asked)))
    ]
    first_Q = np.array([place[0] for place in places])
    outcomes = {
        "rank_1": (first_Q < 1).astype(np.float64),
        "rank_5": (first_Q < 5).astype(np.float64),
        "mAP": np.array([average_precision(place) for place in places]),
    }
    return outcomes, weight


class _Pictures:
    """Pictures that are asked for or searched."""

    def __init__(self, embedded: Embedded, local: list[LocalFeatures], labels: Sequence[str]) -> None:
        self.unit_ND, self.local, self.labels_N = unit(embedded.embedding_ND), local, np.asarray(labels)

    def __len__(self) -> int:
        return len(self.local)


def _fitted(known: _Pictures) -> float:
    """The weight above 0 with the best mAP over a sample of the train pictures."""
    drawn = np.sort(np.random.default_rng(0).permutation(len(known))[:DEFAULT_SAMPLE])
    precision_QW = np.array([with_weights(*query)[1] for query in _queries(known, None, drawn.tolist())])
    return WEIGHTS[1 + int(precision_QW[:, 1:].mean(axis=0).argmax())]


def _queries(asked: _Pictures, searched: _Pictures | None, rows: Sequence[int]) -> Iterator[Query]:
    """Of each query with a positive: which of the ranked others have its label, cosines and local scores of the first.

    Args:
        asked: the queries.
        searched: the gallery; None for the other queries.
        rows: which of the queries.
    """
    gallery = asked if searched is None else searched
    for row in rows:
        cosine_N = gallery.unit_ND @ asked.unit_ND[row]
        order = np.argsort(-cosine_N, kind="stable")
        if searched is None:
            order = order[order != row]
        right_N = gallery.labels_N[order] == asked.labels_N[row]
        if right_N.any():
            first = order[:CANDIDATES]
            candidates = [gallery.local[place] for place in first.tolist()]
            yield right_N, cosine_N[first], local_scores({0: asked.local[row]}, candidates).score_C


def _places(
    right_N: NDArray[np.bool_], cosine_C: NDArray[np.float32], local_C: NDArray[np.float32], weight: float
) -> NDArray[np.int64]:
    """Where the positives stand once the first C are in their new order."""
    order_C = np.argsort(-combined(cosine_C, local_C, weight), kind="stable")
    return np.flatnonzero(np.concatenate([right_N[: len(order_C)][order_C], right_N[len(order_C) :]]))
