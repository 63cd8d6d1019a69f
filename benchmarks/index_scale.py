"""A catalogue of 10^5 and 10^6 items: recall, latency, memory, opening, adding; beside FAISS, usearch and hnswlib.

    python benchmarks/index_scale.py --images DIR                       everything (HNSW peers: see below)
    python benchmarks/index_scale.py --images DIR --sizes 1000000 --stage build --work FOLDER     one piece of it

Vectors are clustered: a real embedding (of pictures below DIR by the demo encoder, centred, turned at random into 384
dimensions; without DIR a random one) plus the difference of two others, as real pictures of one thing differ. Queries
are drawn alike and are not in the catalogue. A search is `Catalogue.search` from beginning to end, one query at a time
on one thread, none twice, after a few hundred that warm the caches. Raw FAISS is the same index with the same
parameters, its candidates scored by IndexRefine over half-precision vectors in memory, in turn with ours. The peers
build HNSW graphs, which takes a quarter of an hour at 10^6 on two cores; `--peers-up-to` says up to which size (default
10^5). Prints one JSON object keyed by size.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from encoder.manifest import manifest_document
from encoder.preprocessing import decode_picture, preprocess, read_picture
from index.ann_search import search_parameters
from index.items import NewItem
from index.schema import create
from index.snapshot import Snapshot
from index.sqlite_catalogue import SqliteCatalogue

RESULT = Path(__file__).parent / "results" / "index_scale.json"
BUNDLE = Path(__file__).parent.parent / "bundles" / "demo"
DIM, K = 384, 10
NUM_SEEDS, NUM_QUERIES, NUM_WARMING, BATCH = 2000, 1000, 300, 2000
SPREAD = 0.6
STAGES = ("fill", "build", "measure", "peers")


def main() -> None:
    """Run the stages of each size and merge what they found into the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, metavar="DIR")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--stage", choices=STAGES, action="append")
    parser.add_argument("--peers-up-to", type=int, default=100_000)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--reader", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.reader:
        print(json.dumps(read(args.reader)))
        return
    with tempfile.TemporaryDirectory() as folder:
        work = args.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        result = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
        for size in args.sizes:
            found = result.setdefault(str(size), {})
            for stage in args.stage or STAGES:
                if stage == "peers" and size > args.peers_up_to:
                    continue
                found |= {"fill": fill, "build": build, "measure": measure, "peers": peers}[stage](work, size, args)
                print(f"{size} {stage}: {found}", file=sys.stderr, flush=True)
        result["cores"], result["date"] = os.cpu_count(), time.strftime("%Y-%m-%d")
        result["seeds"] = "real embeddings" if (work / "seeds_are_real").exists() else "random"
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


def seeds(work: Path, images: Path | None) -> NDArray[np.float32]:
    """Cluster seeds of length 1, shape (NUM_SEEDS, DIM), kept in the work folder."""
    kept = work / "seeds.npy"
    if kept.exists():
        return np.load(kept)
    generator = np.random.default_rng(0)
    if images is None:
        raw = generator.normal(size=(NUM_SEEDS, DIM))
    else:
        encoder = ImageEncoder(Bundle.open(BUNDLE))
        preprocessing = encoder.manifest.preprocessing
        paths = sorted(path for path in images.rglob("*") if path.suffix in (".webp", ".jpg", ".png"))
        chosen = generator.choice(len(paths), min(NUM_SEEDS, len(paths)), replace=False)
        embeddings = []
        for start in range(0, len(chosen), 32):
            pictures = [
                decode_picture(read_picture(paths[at]), min_side_wanted=preprocessing.image_size)
                for at in chosen[start : start + 32]
            ]
            embeddings.append(encoder.encode(np.stack([preprocess(p, preprocessing) for p in pictures])).embedding_BD)
        centred = np.concatenate(embeddings) - np.concatenate(embeddings).mean(axis=0)
        turn, _ = np.linalg.qr(generator.normal(size=(DIM, DIM)))
        raw = centred @ turn[: centred.shape[1]]
        (work / "seeds_are_real").touch()
    found = np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)
    np.save(kept, found)
    return found


def draw(from_seeds: NDArray[np.float32], num: int, seed: int) -> NDArray[np.float32]:
    """Unit vectors around seeds, displaced as seeds differ from each other; float32, shape (num, DIM)."""
    generator = np.random.default_rng(seed)
    around, one, other = generator.integers(len(from_seeds), size=(3, num))
    vectors = from_seeds[one]
    vectors -= from_seeds[other]
    vectors *= SPREAD * generator.random((num, 1), np.float32)
    vectors += from_seeds[around]
    vectors += generator.normal(0, 0.01, vectors.shape).astype(np.float32)
    faiss.normalize_L2(vectors)
    return vectors


def fill(work: Path, size: int, args: argparse.Namespace) -> dict[str, Any]:
    """Put the items into a new catalogue."""
    path = work / str(size)
    manifest = json.loads(manifest_document(Bundle.open(BUNDLE).manifest)) | {"embedding_dim": DIM}
    create(path, {"manifest": json.dumps(manifest), "bundle_path": str(BUNDLE), "ranks": '["species"]'})
    around = seeds(work, args.images)
    started = time.perf_counter()
    with SqliteCatalogue.open(path) as catalogue:
        for start in range(0, size, BATCH):
            catalogue.put(new_items(draw(around, min(BATCH, size - start), 1000 + start), start))
    return {"fill_s": round(time.perf_counter() - started, 1)}


def new_items(vectors: NDArray[np.float32], first: int) -> list[NewItem]:
    """Items of vectors, numbered."""
    return [
        NewItem(
            id=f"{first + number:08}", labels={"species": f"species {(first + number) % 1000}"}, metadata={},
            source="", content_hash=f"{first + number:064x}", embedding=vector, thumbnail=b"",
        )
        for number, vector in enumerate(vectors)
    ]  # fmt: skip


def build(work: Path, size: int, _: argparse.Namespace) -> dict[str, Any]:
    """Choose, build, tune, measure and publish the snapshot, in a process whose peak memory is that of the work."""
    program = (
        "import resource, sys, time; from pathlib import Path; from index.sqlite_catalogue import SqliteCatalogue\n"
        "with SqliteCatalogue.open(Path(sys.argv[1])) as c:\n"
        "    at = time.perf_counter(); info = c.compact(); took = time.perf_counter() - at\n"
        "print(info.kind, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, sep='|')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(work / str(size))], check=True, stdout=subprocess.PIPE, text=True
    )
    kind, took, peak = done.stdout.strip().split("|")
    return {"index": kind, "build_s": round(float(took), 1), "build_peak_mb": round(float(peak))}


def measure(work: Path, size: int, args: argparse.Namespace) -> dict[str, Any]:
    """All that a process sees which opens and searches the catalogue."""
    path = work / str(size)
    around = seeds(work, args.images)
    np.save(work / "queries.npy", draw(around, NUM_QUERIES, 7))
    np.save(work / "exact.npy", exact(work, path))
    reader = [sys.executable, str(Path(__file__)), "--reader", str(path)]
    found = json.loads(subprocess.run(reader, check=True, stdout=subprocess.PIPE, text=True).stdout)
    ids = [f"{size + number:08}" for number in range(1000)]
    with SqliteCatalogue.open(path) as catalogue:
        fresh = draw(around, 1000, 8)
        items = new_items(fresh, size)
        started = time.perf_counter()
        catalogue.put(items)
        assert catalogue.search(fresh[:1], k=1)[0][0].score > 0.999
        found["add_1000_s"] = round(time.perf_counter() - started, 3)
        catalogue.delete(ids)
    return found


def exact(work: Path, path: Path) -> NDArray[np.float32]:
    """The K-th best cosine of each query, by brute force."""
    queries = np.load(work / "queries.npy")
    with SqliteCatalogue.open(path) as catalogue:
        best = faiss.ResultHeap(len(queries), K, keep_max=True)
        for start, chunk in snapshot_of(catalogue).vectors.chunks():
            cosines, places = faiss.knn(queries, chunk, K, metric=faiss.METRIC_INNER_PRODUCT)
            best.add_result(cosines, places + start)
        best.finalize()
    return np.asarray(best.D[:, -1])


def snapshot_of(catalogue: SqliteCatalogue) -> Snapshot:
    """The snapshot that an open catalogue searches."""
    snapshot = catalogue.refresh().snapshot
    assert snapshot is not None
    return snapshot


def read(path: Path) -> dict[str, Any]:
    """In a process of its own: opening, searching, memory; then raw FAISS in turn with ours."""
    faiss.omp_set_num_threads(1)
    queries, kth = np.load(path.parent / "queries.npy"), np.load(path.parent / "exact.npy")
    before_mb = resident_mb()
    started = time.perf_counter()
    catalogue = SqliteCatalogue.open(path)
    open_s = time.perf_counter() - started
    ours, hits = [], 0
    for number, query in enumerate(queries):
        started = time.perf_counter()
        matches = catalogue.search(query[None], k=K)[0]
        ours.append(time.perf_counter() - started)
        hits += sum(match.score >= kth[number] - 1e-5 for match in matches)
    memory_mb = resident_mb()
    ours_ms = 1000 * np.array(ours[NUM_WARMING:])
    ratios, raw_ms = beside_faiss(catalogue, queries)
    info = snapshot_of(catalogue).info
    catalogue.close()
    return {
        "recall_at_10": round(hits / (K * len(queries)), 4),
        "p50_ms": round(float(np.median(ours_ms)), 3),
        "p99_ms": round(float(np.percentile(ours_ms, 99)), 3),
        "memory_mb": round(memory_mb),
        "memory_before_opening_mb": round(before_mb),
        "memory_over_raw_vectors": round(memory_mb * 1024**2 / (4 * DIM * info.count), 3),
        "open_s": round(open_s, 3),
        "raw_faiss_p50_ms": raw_ms,
        "over_raw_faiss": round(float(np.median(ratios)), 3),
        "over_raw_faiss_spread": [round(float(at), 3) for at in np.percentile(ratios, [10, 90])],
        "points": [vars(point) for point in info.points],
        "trials": [vars(trial) for trial in info.choice.trials],
    }


def beside_faiss(catalogue: SqliteCatalogue, queries: NDArray[np.float32]) -> tuple[list[float], float]:
    """Ratios of the medians of ten rounds, who goes first in turn, and raw FAISS's median milliseconds."""
    snapshot = snapshot_of(catalogue)
    folder = catalogue.path / "ann" / str(snapshot.info.seq)
    point = snapshot.info.points[0]
    base = faiss.read_index(str(folder / "index.faiss"))
    halves = faiss.IndexScalarQuantizer(DIM, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    for _, chunk in snapshot.vectors.chunks():
        halves.train(chunk)
        halves.add(chunk)
    refined = faiss.IndexRefine(base, halves)
    params = faiss.IndexRefineSearchParameters(
        k_factor=point.factor, base_index_params=search_parameters(base, point.effort, None)
    )
    ratios: list[float] = []
    theirs: list[float] = []
    for turn in np.array_split(queries, 10):
        seconds: tuple[list[float], list[float]] = ([], [])
        runs = (
            lambda query: catalogue.search(query[None], k=K),
            lambda query: refined.search(query[None], K, params=params),
        )
        for number, query in enumerate(turn):
            for which in (0, 1) if number % 2 else (1, 0):
                started = time.perf_counter()
                runs[which](query)
                seconds[which].append(time.perf_counter() - started)
        ratios.append(float(np.median(seconds[0]) / np.median(seconds[1])))
        theirs += seconds[1]
    return ratios, round(1000 * float(np.median(theirs)), 3)


def resident_mb() -> float:
    """Resident memory of this process, mapped files included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def peers(work: Path, size: int, _: argparse.Namespace) -> dict[str, Any]:
    """Build usearch and hnswlib over the same vectors; search at the least breadth that reaches our recall."""
    import hnswlib
    from usearch.index import Index

    queries, kth = np.load(work / "queries.npy"), np.load(work / "exact.npy")
    with SqliteCatalogue.open(work / str(size)) as catalogue:
        vectors = np.concatenate([chunk for _, chunk in snapshot_of(catalogue).vectors.chunks()])
    target = json.loads(RESULT.read_text(encoding="utf-8")).get(str(size), {}).get("recall_at_10", 0.98)
    started = time.perf_counter()
    hnsw = hnswlib.Index("ip", DIM)
    hnsw.init_index(size, M=16, ef_construction=100)
    hnsw.add_items(vectors, num_threads=os.cpu_count())
    hnsw.set_num_threads(1)
    hnsw_s = time.perf_counter() - started
    started = time.perf_counter()
    graph = Index(ndim=DIM, metric="ip", dtype="f16", connectivity=16, expansion_add=100)
    graph.add(np.arange(size), vectors, threads=os.cpu_count())
    graph_s = time.perf_counter() - started

    def search_hnsw(query: NDArray[np.float32], ef: int) -> NDArray[Any]:
        hnsw.set_ef(ef)
        return np.asarray(hnsw.knn_query(query[None], K)[0][0]).astype(np.int64)

    def search_graph(query: NDArray[np.float32], ef: int) -> NDArray[Any]:
        graph.expansion_search = ef
        return np.asarray(graph.search(query, K, threads=1).keys).astype(np.int64)

    found = {}
    for name, search, took in (("hnswlib", search_hnsw, hnsw_s), ("usearch", search_graph, graph_s)):
        for ef in (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512):
            times, hits = [], 0
            for number, query in enumerate(queries):
                started = time.perf_counter()
                places = search(query, ef)
                times.append(time.perf_counter() - started)
                hits += int((vectors[places] @ query >= kth[number] - 1e-5).sum())
            recall = hits / (K * len(queries))
            if recall >= target:
                break
        found[name] = {
            "recall_at_10": round(recall, 4), "ef": ef, "p50_ms": round(1000 * float(np.median(times)), 3),
            "p99_ms": round(1000 * float(np.percentile(times, 99)), 3), "build_s": round(took, 1),
        }  # fmt: skip
    return {"peers": found}


if __name__ == "__main__":
    main()
