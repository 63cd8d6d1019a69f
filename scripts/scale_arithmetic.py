"""What 10^6, 10^8 and 10^9 items take, computed from what was measured: the tables of docs/larger-than-one-machine.md.

Measured figures come from benchmarks/results/. What is assumed stands in the constants below and is said in the tables.
Not covered: what Milvus itself adds to an index, which has not been measured.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from index_bytes import INDEXES, RAW, hnsw_sq8

from index.ann_choice import SAMPLE_SIZE
from index.compaction import TAIL_SHARE

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"

SIZES = (10**6, 10**8, 10**9)
DIM = 384  # of benchmarks/index_scale.py, and of a ViT-S
NODE_GIB = 64
NODE_SHARE = 0.7  # of a node's memory that holds the index; the rest is for growth, queries and the system
CORES = (2, 16, 64, 256, 1024)
MACHINE_CORES = 16
GPU_RATES = (500, 2000)  # pictures a second, to show what the formula gives; not measured


def measured_search() -> str:
    """What `benchmarks/index_scale.py` measured."""
    scale = _result("index_scale")
    lines = [
        "| items | index | recall@10 | p50 | p99 | resident memory of the process | snapshot built in | opened in |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {_power(size)} | {one['index']} | {one['recall_at_10']:.3f} | {one['p50_ms']:.1f} ms | "
            f"{one['p99_ms']:.1f} ms | {one['memory_mb']} MiB | {one['build_s']:.0f} s | {one['open_s']:.2f} s |"
            for size, one in _measured_sizes()
        ),
    ]
    _, largest = _measured_sizes()[-1]
    encode_ms = _cpu_ms()["fp32"]
    about = (
        f"{DIM} dimensions, {scale['cores']} CPU cores, one query at a time on one thread, {scale['date']}; "
        f"{largest['memory_before_opening_mb']} MiB are the process before it opens the catalogue. One core "
        f"answers about {1000 / largest['p50_ms']:.0f} searches a second at the larger size, and encodes "
        f"{1000 / encode_ms:.1f} pictures a second (ViT-S, fp32): of a query that brings a picture, the search is "
        f"{largest['p50_ms'] / (largest['p50_ms'] + encode_ms):.0%}."
    )
    return "\n".join([*lines, "", about])


def one_machine() -> str:
    """What grows first on one machine."""
    (_, small), (largest, large) = _measured_sizes()[-2:]
    lines = [
        f"| items | changes until a new snapshot is due ({TAIL_SHARE:.0%}) | scanned by every search until then | "
        "snapshot built in |",
        "|---|---|---|---|",
    ]
    for size in SIZES:
        ratio = size / largest
        took = _hours(large["build_s"] * ratio / 3600)
        if ratio > 1:
            took += f" to {_hours(large['build_s'] * ratio**1.5 / 3600)}"
        due = TAIL_SHARE * size
        lines.append(f"| {_power(size)} | {due:,.0f} | {_bytes(4 * DIM * due)} | {took} |")
    room = NODE_GIB * 2**30 * NODE_SHARE
    fits = ", ".join(
        f"{_millions(room / make(SIZES[1], DIM))} ({name})" for name, (make, _) in list(INDEXES.items())[:2]
    )
    about = (
        f"From {large['build_s']:.0f} s measured at {_power(largest)} ({small['build_s']:.0f} s at a tenth of it): the "
        "lower figure grows with N, the upper with N^1.5, as scanning 2·√N inverted lists for each of N vectors does. "
        f"In {NODE_SHARE:.0%} of {NODE_GIB} GiB fit the indexes of {fits} items."
    )
    return "\n".join([*lines, "", about])


def index_memory() -> str:
    """Bytes of an index by type, the formulas beside real indexes, and the machines that hold it."""
    tried, measured = _measured_sizes()[-1]
    trials = {trial["kind"]: trial["memory_bytes"] for trial in measured["trials"]}
    powers = [_power(size) for size in SIZES]
    header = " | ".join([*powers, *(f"nodes, {power}" for power in powers)])
    lines = [
        f"| what is held | bytes a vector | real index / formula | {header} |",
        "|---|---|---|" + "---|" * (2 * len(SIZES)),
    ]
    for name, (make, formula) in (INDEXES | RAW).items():
        check = f"{trials[name] / tried / make(SAMPLE_SIZE, DIM):.3f}" if name in trials else ""
        held = [make(size, DIM) * size for size in SIZES]
        nodes = [math.ceil(one / (NODE_SHARE * NODE_GIB * 2**30)) for one in held]
        cells = " | ".join([*map(_bytes, held), *(f"{count:,}" for count in nodes)])
        lines.append(f"| {name} | {formula} | {check} | {cells} |")
    about = (
        f"D = {DIM} dimensions; C = 4·D·lists/N, the centroids, with 2·√N lists. A node has {NODE_GIB} GiB of which "
        f"{NODE_SHARE:.0%} hold the index; one copy, so times the replicas. Real indexes: FAISS, {SAMPLE_SIZE:,} "
        "vectors, as `benchmarks/index_scale.py` tried them."
    )
    return "\n".join([*lines, "", about])


def disk() -> str:
    """Bytes of a catalogue on disk, by what they are for."""
    sizes = _result("catalogue_size")
    photos, scale = sizes["photographs"], sizes["scale"]
    assert scale["dim"] == DIM
    snapshot = scale["bytes_an_item"]["snapshot"]
    parts = {
        "thumbnail, 256 pixels": photos["bytes_an_item"]["thumbnail"],
        "id, labels, hash, their indexes, change log": photos["bytes_an_item"]["row"],
        f"embedding, fp16, D = {DIM}": scale["bytes_an_item"]["embedding"],
        "snapshot: vectors and row numbers": snapshot["vectors.bin"] + snapshot["rows.npy"],
    }
    lines = [
        "| on disk | bytes an item | " + " | ".join(map(_power, SIZES)) + " |",
        "|---|---|" + "---|" * len(SIZES),
        *(
            f"| {name} | {each:,.0f} | " + " | ".join(_bytes(each * size) for size in SIZES) + " |"
            for name, each in parts.items()
        ),
    ]
    index = [hnsw_sq8(size, DIM) for size in SIZES]
    lines.append(
        f"| snapshot: index (HNSW SQ8) | {index[0]:,.0f} | "
        + " | ".join(_bytes(each * size) for each, size in zip(index, SIZES, strict=True))
        + " |"
    )
    totals = [sum(parts.values()) + each for each in index]
    lines.append(
        f"| all | {totals[0]:,.0f} | "
        + " | ".join(_bytes(each * size) for each, size in zip(totals, SIZES, strict=True))
        + " |"
    )
    about = (
        f"Thumbnails and rows: {photos['items']} photographs of {photos['picture_file_bytes']:,} bytes in a catalogue "
        f"filled with bundles/{photos['encoder']}, {photos['date']}; yours differ, and `lodisc index build --dry-run` "
        f"tells them. Embeddings and snapshot: {_power(scale['items'])} items of {scale['dim']} dimensions, "
        f"{scale['date']}. Whole database pages, so what they leave empty is counted. While a snapshot is built the "
        "old one is still there."
    )
    return "\n".join([*lines, "", about])


def build_hours() -> str:
    """Hours of encoding by cores, from measured CPU time."""
    per_picture = _cpu_ms()
    lines = [
        "| ViT-S/16 at 224 | CPU ms a picture | " + " | ".join(f"core hours, {_power(size)}" for size in SIZES) + " |",
        "|---|---|" + "---|" * len(SIZES),
        *(
            f"| {name} | {each:.0f} | " + " | ".join(f"{each * size / 3.6e6:,.0f}" for size in SIZES) + " |"
            for name, each in per_picture.items()
        ),
        "",
        "| cores that encode, fp32 | " + " | ".join(map(_power, SIZES)) + " |",
        "|---|" + "---|" * len(SIZES),
        *(
            f"| {cores:,} | " + " | ".join(_hours(per_picture["fp32"] * size / 3.6e6 / cores) for size in SIZES) + " |"
            for cores in CORES
        ),
    ]
    bulk, encoder = _result("bulk_index"), _result("encoder_throughput")
    photos = bulk["rate_photographs"]
    day = 86_400_000 * MACHINE_CORES / per_picture["fp32"]
    about = (
        f"CPU time of reading, decoding, encoding and committing {photos['pictures']} (`benchmarks/bulk_index.py`, "
        f"{bulk['device']}, {bulk['date']}), cores taken to add up; by the clock it was "
        f"{photos['pictures_per_s']['build']:.1f} pictures a second, on cores that other programs used too. "
        "int8 and pruned: the encoder's part divided by "
        f"{encoder['int8_over_fp32']:.2f} and {encoder['pruned_over_fp32']:.2f} (`benchmarks/encoder_throughput.py`). "
        f"A machine of {MACHINE_CORES} cores does {_millions(day)} pictures a day."
    )
    return "\n".join([*lines, "", about])


def one_writer() -> str:
    """What the one process that fills the catalogue bounds."""
    size, largest = _measured_sizes()[-1]
    rate = size / largest["fill_s"]
    hours = ", ".join(f"{_hours(items / rate / 3600)} for {_power(items)}" for items in SIZES)
    cores = rate * _cpu_ms()["fp32"] / 1000
    return (
        f"Into SQLite that process wrote {rate:,.0f} items a second (vectors of {DIM} dimensions without thumbnails, "
        f"{_power(size)} of them, `benchmarks/index_scale.py`): {hours} at best, however many machines encode. More "
        f"than about {cores:,.0f} cores of ViT-S in fp32 it cannot keep busy."
    )


def gpu() -> str:
    """What a GPU's share would be, by formula."""
    bulk = _result("bulk_index")
    others = sorted(bulk[name]["cpu_ms_a_picture"]["all_but_encoding"] for name in ("rate_photographs", "rate_drawn"))
    pictures = f"{bulk['rate_photographs']['pictures']} and {bulk['rate_drawn']['pictures']}"
    examples = "; ".join(
        f"at r = {rate:,}, {others[0] * rate / 1000:.0f} to {others[1] * rate / 1000:.0f} cores beside it and "
        + ", ".join(f"{_hours(size / rate / 3600)} for {_power(size)}" for size in SIZES)
        for rate in GPU_RATES
    )
    rates = " and ".join(f"{rate:,}" for rate in GPU_RATES)
    return (
        f"All but encoding took {others[0]:.1f} to {others[1]:.1f} CPU ms a picture ({pictures}), which a GPU does not "
        f"take over. With one GPU (r of {rates} are examples, not measurements): {examples}."
    )


def milvus_values() -> str:
    """Values of Milvus's Helm chart for 10^8 items, its query nodes those of `index_memory` and one to spare."""
    size = SIZES[1]
    nodes = math.ceil(hnsw_sq8(size, DIM) * size / (NODE_SHARE * NODE_GIB * 2**30))
    return f"""```yaml
# milvus-values.yaml: {_power(size)} items of {DIM} dimensions, one copy of an HNSW_SQ index
cluster: {{enabled: true}}
streaming: {{enabled: true}}      # write-ahead log in the object store, instead of Pulsar
woodpecker: {{enabled: true}}
pulsarv3: {{enabled: false}}
indexNode: {{enabled: false}}     # since Milvus 2.6 data nodes build the indexes
queryNode:
  replicas: {nodes + 1}                   # hold the index: {nodes}, and one that may be lost
  resources:
    requests: {{cpu: "8", memory: {NODE_GIB}Gi}}
    limits: {{memory: {NODE_GIB}Gi}}
dataNode:
  replicas: 4
  resources:
    requests: {{cpu: "8", memory: 16Gi}}
minio: {{enabled: false}}
externalS3:                    # vectors, metadata and thumbnails: see "On disk"
  enabled: true
  cloudProvider: aws
  host: s3.example.com
  port: "443"
  useSSL: true
  bucketName: lodisc-milvus
  useIAM: true
extraConfigFiles:
  user.yaml: |+
    common:
      security:
        authorizationEnabled: true
```"""


def _result(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _measured_sizes() -> list[tuple[int, dict[str, Any]]]:
    """What was measured at each size of `benchmarks/index_scale.py`, the largest last."""
    return sorted((int(size), found) for size, found in _result("index_scale").items() if size.isdecimal())


def _cpu_ms() -> dict[str, float]:
    """CPU milliseconds of a picture, from reading to the committed item, by variant."""
    times, encoder = _result("bulk_index")["rate_photographs"]["cpu_ms_a_picture"], _result("encoder_throughput")
    other = times["all_but_encoding"]
    encode = times["build"] - other
    return {
        "fp32": times["build"],
        "int8": other + encode / encoder["int8_over_fp32"],
        f"pruned (after layer {encoder['pruning']['after_layer']}, {encoder['pruning']['keep_ratio']:.0%} kept)": other
        + encode / encoder["pruned_over_fp32"],
    }


def _power(size: int) -> str:
    return f"10^{round(math.log10(size))}"


def _millions(count: float) -> str:
    return f"{count / 1e6:.0f} million" if count >= 1e7 else f"{count / 1e6:.1f} million"


def _bytes(count: float) -> str:
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size or unit == "MB":
            return f"{count / size:.0f} {unit}" if count >= 10 * size else f"{count / size:.1f} {unit}"
    raise AssertionError


def _hours(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.0f} min"
    if hours < 72:
        return f"{hours:.0f} h" if hours >= 10 else f"{hours:.1f} h"
    return f"{hours / 24:,.0f} days"


SECTIONS: dict[str, Callable[[], str]] = {
    "measured_search": measured_search,
    "one_machine": one_machine,
    "index_memory": index_memory,
    "disk": disk,
    "build_hours": build_hours,
    "one_writer": one_writer,
    "gpu": gpu,
    "milvus_values": milvus_values,
}
