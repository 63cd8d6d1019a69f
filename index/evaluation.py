"""How good a catalogue is, measured on itself: every labelled item is a question to all the others (leave one out).

    retrieval   rank-k and mAP over the full exact ranking, as `lodisc evaluate` has them; the vote of k neighbours
    search      recall of the live search against the exact ranking, and its latency (`index.search_quality`)

At each rank the items that have a label of it are questions and answers; what has none is neither right nor wrong. An
item that nobody else shares its label with has no right answer: it is counted apart and not averaged. A name that
stands under two others is two labels, `alba (Rosa)` and `alba (Lilium)`, as it is for a search. Of items with the same
content only the first counts. Figures of a sample of the questions are against all items, with 95 % bootstrap intervals
over the questions.

Not covered: pictures unlike those of the catalogue, which may be much harder than its own.
"""

# N items, Q queries, A of them that have a right answer at a rank.

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.bootstrap import Figure, mean_figure
from encoder.errors import ConfigError
from encoder.retrieval_metrics import QueryResults, average_precision
from index.answers.classes import class_codes
from index.answers.lineages import shown_class
from index.answers.shares import photo_vote
from index.catalogue import Catalogue
from index.evaluation_items import NONE, EvaluatedItems, read_items
from index.exact_ranking import exact_rankings
from index.items import Match
from index.progress import CountedProgress
from index.search_quality import SearchQuality, measure_search

DEFAULT_SAMPLE = 1000
DEFAULT_K = 10
RANK_KS = (1, 5, 10)


@dataclass(frozen=True)
class RankEvaluation:
    """What was measured at one label rank.

    Attributes:
        rank: its name.
        num_labels: distinct labels.
        num_items: items that have one, without copies.
        items: number of those by label.
        figures: by name: rank_1, rank_5, rank_10, and rank_k for another k; mAP; vote_accuracy. Empty if no query has
            a right answer.
        results: what became of each query that has a right answer.
        query_ids: of those queries.
        nearest_ids: of the first labelled neighbour of each.
    """

    rank: str
    num_labels: int
    num_items: int
    items: dict[str, int]
    figures: dict[str, Figure]
    results: QueryResults
    query_ids: list[str]
    nearest_ids: list[str]

    def pairs(self) -> list[tuple[str, str]]:
        """The label of each query and that of its first labelled neighbour."""
        return list(zip(self.results.labels, self.results.nearest_labels, strict=True))


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured of a catalogue.

    Attributes:
        num_items: that the filter let through.
        num_copies: of those, left out because an earlier item has the same content.
        num_contradictions: of those copies, labelled otherwise than the first.
        num_unlabelled: items without any label.
        num_candidates: items that could be queries.
        num_queries: those that were.
        seed: of the sample.
        k: neighbours that vote, and that searches ask for.
        filter: as given.
        ranks: finest first; empty where nothing is labelled.
        search: the live search.
        seconds: that it took.
    """

    num_items: int
    num_copies: int
    num_contradictions: int
    num_unlabelled: int
    num_candidates: int
    num_queries: int
    seed: int
    k: int
    filter: str | None
    ranks: list[RankEvaluation]
    search: SearchQuality
    seconds: float

    def notes(self) -> list[str]:
        """What was left out and why, a line each."""
        notes = []
        if self.num_copies:
            notes.append(f"{self.num_copies} items have the content of an earlier one and are left out")
        if self.num_contradictions:
            notes.append(
                f"{self.num_contradictions} of those are labelled otherwise than the earlier one: look at them"
            )
        if self.num_unlabelled:
            notes.append(f"{self.num_unlabelled} items have no label, and are neither right nor wrong")
        if not self.ranks:
            notes.append("no item has a label: only the search is measured")
        notes += [
            f"all items have the same {measured.rank}, so its figures say nothing"
            for measured in self.ranks
            if measured.num_labels == 1
        ]
        return notes


@dataclass
class _Found:
    """What became of the queries at one rank, as they come; positions are of items."""

    queries: list[int] = field(default_factory=list)
    nearest: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    precision: list[float] = field(default_factory=list)
    vote_right: list[bool] = field(default_factory=list)
    num_without_positive: int = 0


def evaluate_catalogue(
    catalogue: Catalogue,
    *,
    filter: str | None = None,
    ranks: Sequence[str] = (),
    k: int = DEFAULT_K,
    sample: int = DEFAULT_SAMPLE,
    seed: int = 0,
    quiet: bool = False,
) -> Evaluation:
    """Measure a catalogue on its own items. What is written meanwhile may or may not count.

    Args:
        catalogue: to measure.
        filter: which items are questions and answers; None for all.
        ranks: label ranks to measure; all if empty.
        k: 1 to 1000, neighbours that vote and that searches ask for.
        sample: not more queries than this, drawn at random; 0 for all.
        seed: of the draw.
        quiet: show no progress.

    Raises:
        FilterError: the filter cannot be read, or names a field that no item has.
        ConfigError: no item has a label of one of the ranks.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lodisc-evaluate-") as folder:
        items = _by_class(read_items(catalogue, filter, Path(folder)), catalogue.ranks)
        chosen = _chosen_ranks(items, ranks)
        candidates = _candidates(items, chosen)
        drawn = np.random.default_rng(seed).permutation(candidates)
        positions_Q = np.sort(drawn[:sample] if sample else drawn)
        with CountedProgress("evaluating", 2 * len(positions_Q), quiet=quiet) as progress:
            found: dict[str, _Found] = {rank: _Found() for rank in chosen}
            best = []
            for number, (order, cosines) in enumerate(exact_rankings(items.vectors, positions_Q)):
                best.append(cosines[:k].copy())
                for rank in chosen:
                    _note(found[rank], items, rank, int(positions_Q[number]), order, cosines, k)
                progress.advance_to(number + 1)
            search = measure_search(
                catalogue, items.vectors.read(positions_Q), [items.ids[place] for place in positions_Q.tolist()], best,
                k=k, filter=filter, advance=lambda: progress.advance_to(progress.done + 1),
            )  # fmt: skip
        evaluated = [_rank_evaluation(items, rank, found[rank], k) for rank in chosen]
    return Evaluation(
        num_items=len(items.ids), num_copies=items.num_copies, num_contradictions=items.num_contradictions,
        num_unlabelled=items.num_unlabelled, num_candidates=len(candidates), num_queries=len(positions_Q), seed=seed,
        k=k, filter=filter, ranks=evaluated, search=search, seconds=time.monotonic() - started,
    )  # fmt: skip


def _by_class(items: EvaluatedItems, declared: Sequence[str]) -> EvaluatedItems:
    """The items with their labels numbered as searches tell them apart."""
    keys, codes = class_codes(items.names, items.codes, declared)
    names = {rank: [shown_class(key) for key in found] for rank, found in keys.items()}
    return replace(items, names=names, codes={rank: codes_N.astype(np.int32) for rank, codes_N in codes.items()})


def _chosen_ranks(items: EvaluatedItems, wanted: Sequence[str]) -> list[str]:
    unknown = [rank for rank in wanted if rank not in items.codes]
    if unknown:
        raise ConfigError(
            f"no item has a label of rank {unknown[0]!r}; there are {', '.join(items.codes) or 'no labels at all'}"
        )
    return [rank for rank in items.codes if rank in (wanted or items.codes)]


def _candidates(items: EvaluatedItems, ranks: Sequence[str]) -> NDArray[np.int64]:
    """Positions of the items that have a label at some rank; of all, for the search alone, where none has."""
    labelled_N = np.zeros(len(items.ids), np.bool_)
    for rank in ranks:
        labelled_N |= items.codes[rank] != NONE
    return np.flatnonzero(labelled_N) if ranks else np.arange(len(items.ids))


def _note(
    found: _Found,
    items: EvaluatedItems,
    rank: str,
    query: int,
    order: NDArray[np.int64],
    cosines: NDArray[np.float32],
    k: int,
) -> None:
    """Take down what one query's ranking says at one rank."""
    own = items.codes[rank][query]
    if own == NONE:
        return
    codes = items.codes[rank][order]
    labelled = np.flatnonzero(codes != NONE)
    codes = codes[labelled]
    places_P = np.flatnonzero(codes == own)
    if not len(places_P):
        found.num_without_positive += 1
        return
    names = items.names[rank]
    neighbours = [
        Match("", float(cosines[place]), {rank: names[code]}, {})
        for place, code in zip(labelled[:k].tolist(), codes[:k].tolist(), strict=True)
    ]
    found.queries.append(query)
    found.nearest.append(int(order[labelled[0]]))
    found.first.append(int(places_P[0]))
    found.precision.append(average_precision(places_P))
    vote = photo_vote(neighbours, (rank,), {}, None)
    found.vote_right.append(vote is not None and next(iter(vote.shares[rank]))[0] == names[own])


def _rank_evaluation(items: EvaluatedItems, rank: str, found: _Found, k: int) -> RankEvaluation:
    names, codes_N = items.names[rank], items.codes[rank]
    counts = np.bincount(codes_N[codes_N != NONE], minlength=len(names)).tolist()
    by_label = {name: count for name, count in zip(names, counts, strict=True) if count}
    results = QueryResults(
        labels=[names[codes_N[position]] for position in found.queries],
        nearest_labels=[names[codes_N[position]] for position in found.nearest],
        first_hit_A=np.array(found.first, np.int64),
        average_precision_A=np.array(found.precision, np.float64),
        num_without_positive=found.num_without_positive,
    )
    figures: dict[str, Figure] = {}
    if results.labels:
        for rank_k in sorted({*RANK_KS, k}):
            figures[f"rank_{rank_k}"] = mean_figure((results.first_hit_A < rank_k).astype(np.float64))
        figures["mAP"] = mean_figure(results.average_precision_A)
        figures["vote_accuracy"] = mean_figure(np.array(found.vote_right, np.float64))
    return RankEvaluation(
        rank=rank, num_labels=len(by_label), num_items=sum(by_label.values()), items=by_label, figures=figures,
        results=results, query_ids=[items.ids[position] for position in found.queries],
        nearest_ids=[items.ids[position] for position in found.nearest],
    )  # fmt: skip
