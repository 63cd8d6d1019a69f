"""Searches with filters of 50 %, 5 % and 0.1 % of a catalogue: what they find and what they cost.

    python benchmarks/index_filters.py [ITEMS]

Clustered vectors (100,000 of 384 by default), as a catalogue holds them. For each share two filters: items drawn at
random, and items of clusters other than the query's, of which an approximate index has few candidates. Recall is
against exact search over the items that the filter lets through. `first` is a filter that was not asked before (one
scan of the database), `again` the same with other queries, `after_a_write` when one item was put meanwhile. `few` times
the two ways to search in a snapshot, one by one and through the index, by the number of rows that are let through.
Prints one JSON object.
"""

# N items, C clusters, D embedding dim, Q queries, K neighbours.

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from encoder.bundle import Bundle
from index import snapshot
from index.items import NewItem
from index.sqlite_catalogue import SqliteCatalogue

RESULT = Path(__file__).parent / "results" / "index_filters.json"
BUNDLES = Path(__file__).parent.parent / "bundles"
DIM, PER_CLUSTER, CLUSTER_SPREAD, NUM_QUERIES, K = 384, 50, 0.6, 40, 10
SHARES = {"50%": 0.5, "5%": 0.05, "0.1%": 0.001}
FEW_SIZES = (100, 300, 1000, 3000, 10_000)
BATCH = 5000


def main() -> None:
    """Fill a catalogue, search it, write the result."""
    num_items = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    vectors_ND, clusters_N = clustered(num_items, rng)
    draws_N = rng.permutation(num_items)
    with tempfile.TemporaryDirectory() as folder, filled(Path(folder), vectors_ND, clusters_N, draws_N) as catalogue:
        chosen_Q = rng.choice(num_items, NUM_QUERIES, replace=False)
        queries_QD = unit(vectors_ND[chosen_Q] + 0.3 * unit(rng.normal(size=(NUM_QUERIES, DIM))))
        stored_ND = unit(vectors_ND.astype(np.float16).astype(np.float32))
        kind = catalogue.stats().snapshot_kind
        unfiltered = [timed(lambda q=q: catalogue.search(q[None], k=K))[0] for q in queries_QD]
        shares = {}
        for name, share in SHARES.items():
            count = round(share * num_items)
            random_N = draws_N < count
            apart = clusters_N.max() + 1 - max(1, count // PER_CLUSTER)
            shares[name] = {
                "random": measure(catalogue, f"draw < {count}", random_N, stored_ND, queries_QD),
                "other_clusters": measure(
                    catalogue, f"cluster >= {apart}", clusters_N >= apart, stored_ND, queries_QD, clusters_N, chosen_Q
                ),
            }
        few = {str(size): few_times(catalogue, draws_N, size, queries_QD) for size in FEW_SIZES}
    result = {
        "items": num_items, "dim": DIM, "snapshot": kind, "k": K, "queries": NUM_QUERIES, "search_threads": 1,
        "unfiltered": spread(unfiltered), "shares": shares, "few": few,
        "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


def clustered(num: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors around unit centres, and the cluster of each."""
    centres_CD = unit(rng.normal(size=(max(1, num // PER_CLUSTER), DIM)))
    clusters_N = np.arange(num) % len(centres_CD)
    noise_ND = unit(rng.normal(size=(num, DIM)))
    return unit(centres_CD[clusters_N] + CLUSTER_SPREAD * noise_ND), clusters_N


def filled(
    folder: Path, vectors_ND: NDArray[np.float32], clusters_N: NDArray[np.int64], draws_N: NDArray[np.int64]
) -> SqliteCatalogue:
    """A catalogue with these vectors; its encoder is never run."""
    bundle_path = folder / "bundle"
    shutil.copytree(next(iter(sorted(BUNDLES.iterdir()))), bundle_path)
    manifest = json.loads((bundle_path / "manifest.json").read_text(encoding="utf-8"))
    (bundle_path / "manifest.json").write_text(json.dumps(manifest | {"embedding_dim": DIM}), encoding="utf-8")
    catalogue = SqliteCatalogue.create(folder / "catalogue", Bundle.open(bundle_path), ranks=("species",))
    for start in range(0, len(vectors_ND), BATCH):
        rows = range(start, min(start + BATCH, len(vectors_ND)))
        catalogue.put([item(str(row), vectors_ND[row], int(clusters_N[row]), int(draws_N[row])) for row in rows])
    catalogue.compact()
    return catalogue


def item(item_id: str, vector_D: NDArray[np.float32], cluster: int, draw: int) -> NewItem:
    """An item with a label and some metadata, as one of a table of pictures has."""
    return NewItem(
        id=item_id, labels={"species": f"species {cluster}"},
        metadata={"draw": draw, "cluster": cluster, "locality": "somewhere", "observer": "somebody"},
        source="", content_hash="", embedding=vector_D, thumbnail=b"",
    )  # fmt: skip


def measure(
    catalogue: SqliteCatalogue,
    text: str,
    wanted_N: NDArray[np.bool_],
    stored_ND: NDArray[np.float32],
    queries_QD: NDArray[np.float32],
    clusters_N: NDArray[np.int64] | None = None,
    chosen_Q: NDArray[np.int64] | None = None,
) -> dict[str, object]:
    """Recall and milliseconds of one filter; with clusters, of the queries whose cluster it does not let through."""
    if clusters_N is not None and chosen_Q is not None:
        outside = ~np.isin(clusters_N[chosen_Q], clusters_N[wanted_N])
        queries_QD = queries_QD[outside]
    first, _ = timed(lambda: catalogue.search(queries_QD[:1], k=K, filter=text))
    again, hits = [], []
    wanted = np.flatnonzero(wanted_N)
    for query_D in queries_QD:
        seconds, found = timed(lambda q=query_D: catalogue.search(q[None], k=K, filter=text)[0])
        again.append(seconds)
        scores_W = stored_ND[wanted] @ query_D
        k = min(K, len(wanted))
        threshold = np.partition(scores_W, -k)[-k] - 1e-5
        assert all(wanted_N[int(match.id)] for match in found), "a match that the filter does not let through"
        hits.append(sum(float(stored_ND[int(match.id)] @ query_D) >= threshold for match in found) / k)
    after = []
    for number, query_D in enumerate(queries_QD[:10]):
        catalogue.put([item("new", queries_QD[number], -1, -1)])
        after.append(timed(lambda q=query_D: catalogue.search(q[None], k=K, filter=text))[0])
    catalogue.delete(["new"])
    return {
        "filter": text, "rows": len(wanted), "queries": len(queries_QD),
        "recall_at_10": round(statistics.mean(hits), 4), "first_ms": round(1e3 * first, 2),
        "again": spread(again), "after_a_write": spread(after),
    }  # fmt: skip


def few_times(
    catalogue: SqliteCatalogue, draws_N: NDArray[np.int64], size: int, queries_QD: NDArray[np.float32]
) -> dict[str, object]:
    """Milliseconds of one search among `size` rows, one by one and through the index, in turn."""
    text, kept = f"draw < {size}", snapshot.FEW
    catalogue.search(queries_QD[:1], k=K, filter=text)
    times: dict[int, list[float]] = {0: [], len(draws_N): []}
    try:
        for query_D in queries_QD:
            for few, seconds in times.items():
                snapshot.FEW = few
                seconds.append(timed(lambda q=query_D: catalogue.search(q[None], k=K, filter=text))[0])
    finally:
        snapshot.FEW = kept
    return {"one_by_one": spread(times[len(draws_N)]), "through_the_index": spread(times[0])}


def timed(call: Callable[[], object]) -> tuple[float, object]:
    """Seconds that a call took, and what it returned."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and extremes, in milliseconds."""
    p50, p90 = np.percentile(seconds, [50, 90])
    return {"p50_ms": round(1e3 * p50, 2), "p90_ms": round(1e3 * p90, 2), "min_ms": round(1e3 * min(seconds), 2)}


def unit(vectors_ND: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scaled to length 1."""
    return (vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)).astype(np.float32)


if __name__ == "__main__":
    main()
