"""What re-ranking by pivotal patches gains over the cosine alone, and what it costs.

The catalogue is copied, gets local features, and the weight is fitted on its own items alone; then items of a catalogue
of questions are looked for in it. Rank-1 and mAP over the full list at the finest
rank, by cosine alone and re-ranked, with 95 % bootstrap intervals of the differences over the questions. "re-ranked" is
with the fitted weight whether or not the fit has switched it on; `by_default` says which.
"""

# N items of the catalogue, Q questions, D embedding dim.

import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.bootstrap import mean_figure
from encoder.image_encoder import ImageEncoder
from encoder.retrieval_metrics import average_precision
from index.answers.local_build import make_local_features
from index.answers.local_features import LocalFeatures
from index.answers.local_search import plan_local
from index.answers.rerank_fit import fit
from index.answers.reranking import CANDIDATES, combined, local_scores
from index.evaluation_items import EvaluatedItems, read_items
from index.sqlite_catalogue import SqliteCatalogue

MAX_QUESTIONS = 1000
REPEATS = 50


def measure(catalogue_path: Path, questions_path: Path, folder: Path) -> dict[str, Any]:
    """Measure a catalogue with a catalogue of questions, both as the same encoder made them.

    Args:
        catalogue_path: folder of what is searched.
        questions_path: folder of what is looked for.
        folder: for copies of both.
    """
    for name, path in (("items", catalogue_path), ("questions", questions_path)):
        shutil.copytree(path, folder / name)
    with SqliteCatalogue.open(folder / "items") as catalogue, SqliteCatalogue.open(folder / "questions") as questions:
        encoder = ImageEncoder(catalogue.find_bundle(), variant=catalogue.variant)
        make_local_features(catalogue, encoder, threads=os.cpu_count() or 1, quiet=True)
        found = fit(catalogue, quiet=True)
        projection = catalogue.local.projection()
        assert projection is not None
        questions.local.create(projection)  # the questions' patches as the catalogue's, whatever was there
        make_local_features(questions, encoder, threads=os.cpu_count() or 1, quiet=True)
        (folder / "a").mkdir()
        (folder / "b").mkdir()
        items, asked = read_items(catalogue, None, folder / "a"), read_items(questions, None, folder / "b")
        outcomes = _outcomes(catalogue, questions, items, asked, found.weight)
        told = {name: _difference(outcomes[:, at], outcomes[:, 2 + at]) for at, name in enumerate(("rank_1", "mAP"))}
        cost = _cost_ms(catalogue, questions, asked)
    return {
        "rank": next(iter(items.names)), "items": len(items.ids), "questions": len(outcomes),
        "weight": found.weight, "by_default": found.by_default, **told, **cost,
    }  # fmt: skip


def _outcomes(
    catalogue: SqliteCatalogue, questions: SqliteCatalogue, items: EvaluatedItems, asked: EvaluatedItems, weight: float
) -> NDArray[np.float64]:
    """Rank-1 and average precision by cosine, and both re-ranked, of each answerable question, shape (Q, 4)."""
    rank = next(iter(items.names))
    names = np.array([*items.names[rank], ""])[items.codes[rank]]
    items_ND = np.concatenate([chunk for _, chunk in items.vectors.chunks()])
    drawn = np.sort(np.random.default_rng(0).permutation(len(asked.ids))[:MAX_QUESTIONS])
    outcomes = []
    for place in drawn.tolist():
        right_N = names == [*asked.names[rank], None][asked.codes[rank][place]]
        if not right_N.any():
            continue
        cosine_N = items_ND @ asked.vectors.read(np.array([place]))[0]
        order = np.argsort(-cosine_N, kind="stable")
        first = order[:CANDIDATES]
        query = questions.local.read([asked.ids[place]])[asked.ids[place]]
        local_C = local_scores({0: query}, _candidates(catalogue, [items.ids[at] for at in first.tolist()])).score_C
        moved = first[np.argsort(-combined(cosine_N[first], local_C, weight), kind="stable")]
        both = [np.flatnonzero(right_N[ranked]) for ranked in (order, np.concatenate([moved, order[CANDIDATES:]]))]
        outcomes.append([number for places in both for number in (float(places[0] == 0), average_precision(places))])
    return np.array(outcomes)


def _candidates(catalogue: SqliteCatalogue, ids: list[str]) -> list[LocalFeatures | None]:
    kept = catalogue.local.read(ids)
    return [kept.get(item_id) for item_id in ids]


def _difference(before_Q: NDArray[np.float64], after_Q: NDArray[np.float64]) -> dict[str, float]:
    gain = mean_figure(after_Q - before_Q)
    figures = {"cosine": before_Q.mean(), "reranked": after_Q.mean()} | vars(gain)
    return {name.replace("value", "gain"): round(float(value), 4) for name, value in figures.items()}


def _cost_ms(catalogue: SqliteCatalogue, questions: SqliteCatalogue, asked: EvaluatedItems) -> dict[str, Any]:
    """Milliseconds to re-rank CANDIDATES matches, reading their patches from the database included."""
    plan = plan_local(catalogue, rerank=True, explains=False, has_patches=True)
    assert plan is not None
    ids = [asked.ids[place] for place in range(min(REPEATS, len(asked.ids)))]
    times = []
    for place, item_id in enumerate(ids):
        embedding_D = asked.vectors.read(np.array([place]))
        matches = catalogue.search(embedding_D, k=CANDIDATES)[0]
        features = questions.local.read([item_id])[item_id]
        started = time.perf_counter()
        kept = _candidates(catalogue, [match.id for match in matches])
        local_scores({0: features}, kept)
        times.append((time.perf_counter() - started) * 1e3)
    low, middle, high = np.percentile(times, (10, 50, 90)).tolist()
    return {"ms_for_100": round(middle, 3), "ms_p10": round(low, 3), "ms_p90": round(high, 3)}
