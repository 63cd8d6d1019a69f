"""An evaluation label by label: how each one fares, and the whole table of confusions where it can still be read."""

# C labels.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.retrieval_by_label import confusion_table, mistaken_for, per_class
from index.evaluation import RankEvaluation

MAX_CONFUSION_LABELS = 60


@dataclass(frozen=True)
class ClassRow:
    """One label.

    Attributes:
        label: its name.
        num_items: that have it, copies not counted.
        num_queries: of those, asked and with a right answer to be found.
        rank_1: share whose first neighbour has the label; None if none was asked.
        average_precision: mean over the questions; None if none was asked.
        mistaken_for: the other label that its questions find first most often; None if they never do.
        times: how often.
    """

    label: str
    num_items: int
    num_queries: int
    rank_1: float | None
    average_precision: float | None
    mistaken_for: str | None
    times: int


def class_rows(measured: RankEvaluation) -> list[ClassRow]:
    """Every label of a rank: the hardest first, at the end those of which none was asked, by name."""
    mistaken = mistaken_for(measured.results)
    rows = [
        ClassRow(
            scores.label, measured.items[scores.label], scores.num_queries, scores.rank_1,
            scores.mean_average_precision, *mistaken.get(scores.label, (None, 0)),
        )
        for scores in per_class(measured.results)
    ]  # fmt: skip
    asked = {row.label for row in rows}
    unasked = sorted(measured.items.keys() - asked)
    return rows + [ClassRow(label, measured.items[label], 0, None, None, None, 0) for label in unasked]


def confusion(measured: RankEvaluation) -> tuple[list[str], NDArray[np.int64]] | None:
    """The labels, sorted, and how often a question of one (row) found another (column) first; None for too many."""
    labels, table_CC = confusion_table(measured.results)
    return (labels, table_CC) if 0 < len(labels) <= MAX_CONFUSION_LABELS else None
