"""The README's figures of the catalogue: `benchmarks/index_scale.py`, `bulk_index.py` and `crash.py`."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def index_scale() -> str:
    """Sizes beside each other, and what the peers need for the same recall."""
    result = _read("index_scale")
    sizes = [key for key in result if key.isdecimal()]
    rows = {
        "index that was chosen": lambda one: one["index"],
        "recall@10 against exact search": lambda one: f"{one['recall_at_10']:.3f}",
        "a search, median": lambda one: f"{one['p50_ms']:.2f} ms",
        "a search, 99 %": lambda one: f"{one['p99_ms']:.2f} ms",
        "the same index in raw FAISS, median": lambda one: f"{one['raw_faiss_p50_ms']:.2f} ms",
        "search / raw FAISS": lambda one: f"{one['over_raw_faiss']:.2f}",
        "memory / vectors as float32": lambda one: f"{one['memory_over_raw_vectors']:.2f}",
        "opening": lambda one: f"{one['open_s']:.2f} s",
        "1,000 more items, until they are found": lambda one: f"{one['add_1000_s']:.2f} s",
        "choosing and building the index": lambda one: f"{one['build_s']:.0f} s",
    }
    lines = ["| | " + " | ".join(f"{int(size):,} items" for size in sizes) + " |", "|---|" + "---|" * len(sizes)]
    lines += [f"| {name} | " + " | ".join(cell(result[size]) for size in sizes) + " |" for name, cell in rows.items()]
    peers = "; ".join(
        f"{name} {one['p50_ms']:.2f} ms at recall {one['recall_at_10']:.3f}, built in {one['build_s']:.0f} s"
        for size in sizes
        for name, one in result[size].get("peers", {}).items()
    )
    about = (
        "384 dimensions, clustered as real embeddings are. A search ends with ids, labels and metadata from the "
        "database; raw FAISS ends with numbers of rows, which is most of the difference."
    )
    return "\n".join([*lines, "", f"{about} At {int(sizes[0]):,}: {peers}."])


def bulk_index() -> str:
    """Rate, memory and waste."""
    result = _read("bulk_index")
    rate, memory, resume = result["rate_photographs"], result["memory"], result["resume"]
    small, large = memory["peak_mib"]
    return (
        f"{rate['encoder']}: {rate['cpu_ratio']:.3f} of the CPU time goes to the encoder on photographs, "
        f"{result['rate_drawn']['cpu_ratio']:.3f} on JPEG of 500 x 375. Peak memory "
        f"{memory['peak_mib'][small]:.0f} MiB for {int(small):,} pictures, {memory['peak_mib'][large]:.0f} for "
        f"{int(large):,} ({memory['growth']:.2f} times). A run that was killed half-way wastes {resume['wasted']:.1%} "
        "when it is taken up."
    )


def crash() -> str:
    """Kills, and what they cost."""
    result = _read("crash")
    return (
        f"Writers were killed {result['rounds']} times at random instants of adding, changing, deleting, compacting "
        f"and bulk building, {result['kills_within_an_operation']} of them within an operation "
        f"(`python benchmarks/crash.py`): {result['faults']} acknowledged writes lost, half-done ones left, or answers "
        "that differ from exact search over what survived."
    )


SECTIONS = {"index_scale": index_scale, "bulk_index": bulk_index, "crash": crash}
