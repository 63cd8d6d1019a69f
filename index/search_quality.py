"""The live search of a catalogue measured: what it finds of what exact search finds, and how long it takes."""

# Q queries, D embedding dim, K neighbours.

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.bootstrap import Figure, mean_figure
from index.ann_tuning import TIE_COSINE
from index.catalogue import Catalogue

WARM_UP = 5  # searches that are not counted: the first ones load the filter's rows and the pages of the index
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class SearchQuality:
    """How good and how fast searches for items of the catalogue are, each left out of its own search.

    Attributes:
        k: neighbours asked for.
        num_queries: searches measured.
        recall: share of the k exact neighbours that they find; None where there is nothing to find.
        latency_ms: percentiles of one search, p50, p90 and p99; one after the other, from one thread.
        index: FAISS index type of the snapshot; None without one.
        snapshot_items: vectors in the snapshot.
        tail_items: items scanned exactly because they came after it.
    """

    k: int
    num_queries: int
    recall: Figure | None
    latency_ms: dict[str, float]
    index: str | None
    snapshot_items: int
    tail_items: int

    def served_by(self) -> str:
        """What answers the searches, for a person."""
        held = f"index {self.index} of {self.snapshot_items} items" if self.index is not None else "no index"
        return f"{held}, {self.tail_items} items scanned exactly"


def measure_search(
    catalogue: Catalogue,
    queries_QD: NDArray[np.float32],
    ids: Sequence[str],
    best: Sequence[NDArray[np.float32]],
    *,
    k: int,
    filter: str | None,
    advance: Callable[[], None],
) -> SearchQuality:
    """Ask the catalogue for the neighbours of its own items, one at a time.

    Args:
        catalogue: to measure.
        queries_QD: embeddings of the items.
        ids: of the items.
        best: cosines of the k exact neighbours of each, descending; fewer where there are fewer.
        k: neighbours to ask for.
        filter: which items may be found.
        advance: called after each search.
    """
    for query_D, item_id in zip(queries_QD[:WARM_UP], ids[:WARM_UP], strict=True):
        catalogue.search(query_D[None], k=k, exclude_ids=(item_id,), filter=filter)
    recalls, seconds = [], []
    for query_D, item_id, best_K in zip(queries_QD, ids, best, strict=True):
        started = time.perf_counter()
        (matches,) = catalogue.search(query_D[None], k=k, exclude_ids=(item_id,), filter=filter)
        seconds.append(time.perf_counter() - started)
        if len(best_K):
            found = sum(match.score >= best_K[-1] - TIE_COSINE for match in matches)
            recalls.append(min(found, len(best_K)) / len(best_K))
        advance()
    stats = catalogue.stats()
    percentiles = np.percentile(np.array(seconds) * 1e3, PERCENTILES) if seconds else ()
    return SearchQuality(
        k=k,
        num_queries=len(ids),
        recall=mean_figure(np.array(recalls)) if recalls else None,
        latency_ms={f"p{name}": float(value) for name, value in zip(PERCENTILES, percentiles, strict=False)},
        index=stats.snapshot_kind,
        snapshot_items=stats.snapshot_items,
        tail_items=stats.tail_items,
    )
