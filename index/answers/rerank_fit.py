"""How much the local score shall count in a catalogue, and whether re-ranking helps it at all: leave one out.

Labelled items are looked for among all others, by exact cosine; of the first CANDIDATES the order is changed with each
of some weights. The weight with the best mAP is kept. What it gains is measured on queries that had no say in it: for
each fifth of them the weight is chosen by the other four. Re-ranking is on by default only where the 95 % interval of
that gain lies above 0, in rank-1 or in mAP, and the other one has not fallen.

Not covered: pictures unlike those of the catalogue.
"""

# N labelled items, C candidates, W weights, Q queries.

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.bootstrap import Figure, mean_figure
from encoder.errors import ConfigError
from encoder.retrieval_metrics import average_precision
from encoder.shell_words import path_word
from index.answers.local_table import LocalTable
from index.answers.reranking import CANDIDATES, combined, local_scores
from index.evaluation_items import NONE, EvaluatedItems, read_items
from index.exact_ranking import exact_rankings
from index.progress import CountedProgress
from index.sqlite_catalogue import SqliteCatalogue

WEIGHTS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
UNFITTED_WEIGHT = 0.5  # where there are no labels to fit it by and re-ranking is asked for all the same
DEFAULT_SAMPLE = 1000
NUM_FOLDS = 5


@dataclass(frozen=True)
class Gain:
    """One figure by cosine alone, with re-ranking, and the mean difference with its 95 % interval."""

    before: float
    after: float
    gain: Figure


@dataclass(frozen=True)
class RerankFit:
    """What was found.

    Attributes:
        weight: of the local score where re-ranking is on.
        by_default: whether it is on where nobody says otherwise.
        rank: the label rank it was fitted by; None where nothing could be fitted.
        num_queries: items that were looked for.
        change: number of the catalogue's last change then.
        rank_1, mean_average_precision: on queries that had no say in the weight; None where nothing could be fitted.
    """

    weight: float = UNFITTED_WEIGHT
    by_default: bool = False
    rank: str | None = None
    num_queries: int = 0
    change: int = 0
    rank_1: Gain | None = None
    mean_average_precision: Gain | None = None

    @classmethod
    def of(cls, table: LocalTable) -> "RerankFit":
        """What was kept of the last fit; of a catalogue that never was fitted, that re-ranking is off."""
        document = table.fit()
        if document is None:
            return cls()
        gains = {name: _gain(document[name]) for name in ("rank_1", "mean_average_precision")}
        return cls(**(document | gains))

    def text(self) -> str:
        """One line for a person."""
        if self.rank_1 is None or self.mean_average_precision is None:
            return "off by default: no two items share a label to fit it by"
        gains = "; ".join(
            f"{name} {one.before:.3f} to {one.after:.3f}, gain {one.gain.value:+.3f} "
            f"({one.gain.low:+.3f} to {one.gain.high:+.3f})"
            for name, one in (("rank-1", self.rank_1), ("mAP", self.mean_average_precision))
        )
        state = f"on, weight {self.weight:g}" if self.by_default else "off by default: it is not sure to help"
        return f"{state} ({gains}; {self.num_queries} {self.rank} queries, leave one out)"


def fit(catalogue: SqliteCatalogue, *, sample: int = DEFAULT_SAMPLE, seed: int = 0, quiet: bool = False) -> RerankFit:
    """Fit the weight of a catalogue by its finest label rank, and keep what was found.

    Args:
        catalogue: with local features.
        sample: not more queries than this, drawn at random.
        seed: of the draw and of the folds.
        quiet: show no progress.

    Raises:
        ConfigError: it keeps no local features.
    """
    if catalogue.local.projection() is None:
        raise ConfigError(
            f"{catalogue.path} keeps no local features; make them with `lodisc index local {path_word(catalogue.path)}`"
        )
    change = catalogue.refresh().seq
    with tempfile.TemporaryDirectory(prefix="lodisc-rerank-") as folder:
        items = read_items(catalogue, None, Path(folder))
        found = _fitted(catalogue.local, items, change, sample, seed, quiet)
    catalogue.local.keep_fit(asdict(found))
    return found


def _fitted(table: LocalTable, items: EvaluatedItems, change: int, sample: int, seed: int, quiet: bool) -> RerankFit:
    rank = next(iter(items.codes), None)
    if rank is None:
        return RerankFit(change=change)
    generator = np.random.default_rng(seed)
    queries_Q = np.sort(generator.permutation(_answerable(items.codes[rank]))[:sample])
    with CountedProgress("fitting", len(queries_Q), quiet=quiet) as progress:
        outcomes = [outcome for outcome in _outcomes(table, items, rank, queries_Q, progress) if outcome is not None]
    if not outcomes:
        return RerankFit(change=change)
    first_QW, precision_QW = (np.array(part) for part in zip(*outcomes, strict=True))
    fold_Q = generator.permutation(np.arange(len(first_QW)) % NUM_FOLDS)
    chosen_Q = np.empty(len(fold_Q), np.int64)
    for fold in range(NUM_FOLDS):
        others_Q = fold_Q != fold
        chosen_Q[~others_Q] = precision_QW[others_Q].mean(axis=0).argmax() if others_Q.any() else 0
    rank_1, precision = _held_out(first_QW, chosen_Q), _held_out(precision_QW, chosen_Q)
    helps = max(rank_1.gain.low, precision.gain.low) > 0 and min(rank_1.gain.value, precision.gain.value) >= 0
    # Where none is better than some, the best of some is kept for whoever asks for re-ranking all the same.
    best = 1 + int(precision_QW[:, 1:].mean(axis=0).argmax())
    return RerankFit(WEIGHTS[best], helps, rank, len(first_QW), change, rank_1, precision)


def _answerable(codes_N: NDArray[np.int32]) -> NDArray[np.int64]:
    """Positions of the items whose label another one has too."""
    labelled = np.flatnonzero(codes_N != NONE)
    counts = np.bincount(codes_N[labelled]) if len(labelled) else np.zeros(0, np.int64)
    return labelled[counts[codes_N[labelled]] > 1]


def _outcomes(
    table: LocalTable, items: EvaluatedItems, rank: str, queries_Q: NDArray[np.int64], progress: CountedProgress
) -> Iterator[tuple[list[float], list[float]] | None]:
    """Of each query its outcomes as of `with_weights`; None where it has no features of its own."""
    codes_N = items.codes[rank]
    for number, (query, (order, cosines)) in enumerate(
        zip(queries_Q.tolist(), exact_rankings(items.vectors, queries_Q), strict=True)
    ):
        progress.advance_to(number + 1)
        labelled = codes_N[order] != NONE
        order, cosines = order[labelled], cosines[labelled]
        ids = [items.ids[place] for place in order[:CANDIDATES].tolist()]
        kept = table.read([items.ids[query], *ids])
        own = kept.get(items.ids[query])
        if own is None:
            yield None
            continue
        local_C = local_scores({0: own}, [kept.get(item_id) for item_id in ids]).score_C
        yield with_weights(codes_N[order] == codes_N[query], cosines[:CANDIDATES], local_C)


def with_weights(
    right_N: NDArray[np.bool_], cosine_C: NDArray[np.float32], local_C: NDArray[np.float32]
) -> tuple[list[float], list[float]]:
    """Rank-1 and average precision of one query with each of WEIGHTS.

    Args:
        right_N: of all items, nearest first, whether each has the query's label; at least one has.
        cosine_C: of the first C, which are those whose order changes.
        local_C: of the same, NaN where it is not known.
    """
    first, precision = [], []
    for weight in WEIGHTS:
        order_C = np.argsort(-combined(cosine_C, local_C, weight), kind="stable")
        places = np.flatnonzero(np.concatenate([right_N[: len(order_C)][order_C], right_N[len(order_C) :]]))
        first.append(float(places[0] == 0))
        precision.append(average_precision(places))
    return first, precision


def _held_out(values_QW: NDArray[np.float64], chosen_Q: NDArray[np.int64]) -> Gain:
    before_Q, after_Q = values_QW[:, 0], values_QW[np.arange(len(values_QW)), chosen_Q]
    return Gain(float(before_Q.mean()), float(after_Q.mean()), mean_figure(after_Q - before_Q))


def _gain(document: dict[str, Any] | None) -> Gain | None:
    return None if document is None else Gain(document["before"], document["after"], Figure(**document["gain"]))
