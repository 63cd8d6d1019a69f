"""Classification by the nearest neighbours of a frozen encoder (arXiv:1805.01978): no training, one number.

Each of the k nearest pictures votes for its label with weight exp(cosine / T).
"""

# Q queries, G gallery pictures, D embedding dim, K neighbours, C labels.

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.retrieval_metrics import unit

NUM_NEIGHBOURS = 20
TEMPERATURE = 0.07
CHUNK = 512


@dataclass(frozen=True)
class Hits:
    """Which queries were classified rightly.

    Attributes:
        top_1_Q: 1 where the first guess is the label, else 0; float64.
        top_5_Q: 1 where it is among the first five guesses.
    """

    top_1_Q: NDArray[np.float64]
    top_5_Q: NDArray[np.float64]


def classify_by_neighbours(
    queries_QD: NDArray[np.float32],
    query_labels: Sequence[str],
    gallery_GD: NDArray[np.float32] | None = None,
    gallery_labels: Sequence[str] | None = None,
) -> Hits:
    """Classify each query by the gallery; without one, by the other queries.

    A label that got no vote is never guessed, so where the k neighbours have fewer than five labels, top-5 is over
    those. Equal votes: the label that comes first in the alphabet.
    """
    leave_self_out = gallery_GD is None
    if gallery_GD is None or gallery_labels is None:
        gallery_GD, gallery_labels = queries_QD, query_labels
    queries_QD, gallery_GD = unit(queries_QD), unit(gallery_GD)
    names = sorted(set(gallery_labels))
    number_of = {name: number for number, name in enumerate(names)}
    label_G = np.array([number_of[label] for label in gallery_labels])
    # A query of a label that the gallery does not know is always wrong.
    label_Q = np.array([number_of.get(label, -1) for label in query_labels])
    top_1, top_5 = [], []
    for start in range(0, len(queries_QD), CHUNK):
        similarity = queries_QD[start : start + CHUNK] @ gallery_GD.T
        if leave_self_out:
            similarity[np.arange(len(similarity)), np.arange(start, start + len(similarity))] = -np.inf
        num = min(NUM_NEIGHBOURS, len(gallery_GD) - leave_self_out)
        nearest_QK = np.argsort(-similarity, axis=1, kind="stable")[:, :num]
        weight_QK = np.exp(np.take_along_axis(similarity, nearest_QK, axis=1).astype(np.float64) / TEMPERATURE)
        votes_QC = np.zeros((len(similarity), len(names)))
        np.add.at(votes_QC, (np.arange(len(similarity))[:, None], label_G[nearest_QK]), weight_QK)
        guesses = np.argsort(-votes_QC, axis=1, kind="stable")[:, :5]
        right = (guesses == label_Q[start : start + CHUNK, None]) & (np.take_along_axis(votes_QC, guesses, axis=1) > 0)
        top_1.append(right[:, 0])
        top_5.append(right.any(axis=1))
    return Hits(np.concatenate(top_1).astype(np.float64), np.concatenate(top_5).astype(np.float64))
