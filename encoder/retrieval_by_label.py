"""Retrieval of each label, and which labels are taken for each other, from what became of the queries."""

# A queries that have a positive, C labels.

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.retrieval_metrics import QueryResults


@dataclass(frozen=True)
class LabelScores:
    """Retrieval of the queries of one label."""

    label: str
    num_queries: int
    rank_1: float
    rank_5: float
    mean_average_precision: float


def per_class(results: QueryResults) -> list[LabelScores]:
    """Retrieval of each label, the hardest (lowest mAP) first."""
    labels_A = np.asarray(results.labels)
    rows = []
    for label in sorted(set(results.labels)):
        of_label = labels_A == label
        first = results.first_hit_A[of_label]
        rows.append(
            LabelScores(
                label=label,
                num_queries=len(first),
                rank_1=float((first < 1).mean()),
                rank_5=float((first < 5).mean()),
                mean_average_precision=float(results.average_precision_A[of_label].mean()),
            )
        )
    return sorted(rows, key=lambda row: row.mean_average_precision)


def most_confused(results: QueryResults, num_pairs: int) -> list[tuple[str, str, int, int]]:
    """The pairs of labels that are most often taken for each other by the first neighbour.

    Returns:
        Label, other label, how often a query of the one found the other first or the reverse, and how many queries
        the two labels have; the most frequent first.
    """
    num_of = Counter(results.labels)
    confused = Counter(
        (min(label, nearest), max(label, nearest))
        for label, nearest in zip(results.labels, results.nearest_labels, strict=True)
        if label != nearest
    )
    ranked = sorted(confused.items(), key=lambda item: (-item[1], item[0]))[:num_pairs]
    return [(one, other, times, num_of[one] + num_of[other]) for (one, other), times in ranked]


def mistaken_for(results: QueryResults) -> dict[str, tuple[str, int]]:
    """For each label that is ever mistaken, the other label that its queries find first most often, and how often."""
    wrong = Counter(pair for pair in zip(results.labels, results.nearest_labels, strict=True) if pair[0] != pair[1])
    found: dict[str, tuple[str, int]] = {}
    for (label, other), times in sorted(wrong.items(), key=lambda item: (-item[1], item[0])):
        found.setdefault(label, (other, times))
    return found


def confusion_table(results: QueryResults) -> tuple[list[str], NDArray[np.int64]]:
    """The labels, sorted, and how often a query of one (its row) found another or itself (the column) first."""
    labels = sorted({*results.labels, *results.nearest_labels})
    place = {label: number for number, label in enumerate(labels)}
    table_CC = np.zeros((len(labels), len(labels)), np.int64)
    for label, nearest in zip(results.labels, results.nearest_labels, strict=True):
        table_CC[place[label], place[nearest]] += 1
    return labels, table_CC
