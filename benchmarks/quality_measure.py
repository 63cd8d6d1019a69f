"""What became of every test picture of a set, by each figure: retrieval, the neighbours' vote, linear probing.

Retrieval is leave one out in test, or test in train (`quality_pictures`); kNN and linear probing learn on train. The
figures of a run are the means of its outcomes, each with its bootstrap interval over the pictures.
"""

# Q test pictures (of retrieval: those that have a positive), N train pictures, D embedding dim.

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from quality_pictures import PhotographSet

from encoder.bootstrap import mean_figure
from encoder.retrieval_metrics import rank_queries
from training.knn import classify_by_neighbours
from training.linear_probe import linear_probe

RETRIEVAL = ("rank_1", "rank_5", "mAP")
FIGURES = (*RETRIEVAL, "knn_top_1", "linear_top_1")

Outcomes = dict[str, NDArray[np.float64]]


def measure(each: PhotographSet, test_QD: NDArray[np.float32], train_ND: NDArray[np.float32]) -> Outcomes:
    """Outcomes of each of FIGURES, each in [0, 1], shape (Q,).

    Args:
        each: the set.
        test_QD: embeddings of its test pictures, any norm.
        train_ND: of its train pictures.
    """
    test, train = each.test.labels, each.train.labels
    searched = (train_ND, train) if each.gallery_is_train else (None, None)
    found = rank_queries(test_QD, test, *searched)
    return {
        "rank_1": (found.first_hit_A < 1).astype(np.float64),
        "rank_5": (found.first_hit_A < 5).astype(np.float64),
        "mAP": found.average_precision_A,
        "knn_top_1": classify_by_neighbours(test_QD, test, train_ND, train).top_1_Q,
        "linear_top_1": linear_probe(test_QD, test, train_ND, train).top_1_Q,
    }


def figures(outcomes: Mapping[str, NDArray[np.float64]]) -> dict[str, dict[str, float]]:
    """Mean and interval of each figure."""
    return {name: asdict(mean_figure(values_Q)) for name, values_Q in outcomes.items()}
