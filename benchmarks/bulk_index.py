"""Bulk indexing beside the encoder alone: rate, memory, and what a killed run costs.

    python benchmarks/bulk_index.py [PICTURES] [--parts rate memory resume] [--save]

PICTURES is a folder of photographs; without it, pictures of 500 x 375 are drawn. Three parts:

rate    `build` into an empty catalogue, in turns with the same encoder (ViT-S/16 at 224, random weights, through
        export/) on pictures that are decoded and in memory already. On a CPU both need the same cores, so the ready
        tensors have all cores to themselves and are measured in the two ways that a CPU can be divided: one call with
        all threads, and calls beside each other with fewer each, as `build` does. The ratio is to the faster one. It
        cannot exceed `cpu_ratio`, the share of the encoder in the CPU time of all: reading, decoding, thumbnails and
        transactions are measured by `build` with an encoder that answers at once. CPU times are the least of the
        rounds, because other programs on the machine only ever add to them.
memory  peak of a process that indexes 5,000 or 50,000 small pictures with a tiny encoder: until the last picture is
        committed, and with the search snapshot that is built then.
resume  5,000 small pictures, SIGKILL in the middle, run again: what is encoded twice, and what looking again at what is
        known costs beside encoding it.

The last line is one JSON object.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image
from random_encoders import tiny_bundle, vit_bundle

from encoder.bundle import Bundle
from encoder.image_encoder import Encoded, ImageEncoder
from encoder.picture_files import list_pictures
from encoder.preprocessing import decode_picture, preprocess, read_picture
from index.build import BATCH_SIZE, build, open_for_build
from index.division import bulk_encoder
from index.sources.reading import read_source
from index.sqlite_catalogue import SqliteCatalogue

RESULTS = Path(__file__).parent / "results" / "bulk_index.json"
PARTS = ("rate", "memory", "resume")
SIZES = (5_000, 50_000)
TINY_DIM = 24
VIT_S_CPU_MS = 150  # that ViT-S/16 takes for a picture; `cpu_ms_a_picture` of the rate has what it took here


def draw(folder, count, size, file_format):
    """`count` different pictures: a noise of few pixels, blown up, which compresses about as a photograph does."""
    folder.mkdir(parents=True)
    chance = np.random.default_rng(0)
    coarse = (max(2, size[1] // 12), max(2, size[0] // 12), 3)
    for number in range(count):
        pixels = Image.fromarray(chance.integers(0, 256, coarse, dtype=np.uint8))
        below = folder / f"{number // 1000:03}"
        below.mkdir(exist_ok=True)
        pixels.resize(size, Image.Resampling.BICUBIC).save(below / f"{number:06}.{file_format}", quality=90)
    return folder


def measure_rate(work, pictures, count, rounds):
    """Pictures a second of `build` and of the encoder on ready tensors, in turns."""
    folder = work / "photos"
    if pictures is None:
        draw(folder, count, (500, 375), "jpg")
    else:
        folder.mkdir()
        for number, path in enumerate(_spread(list_pictures(pictures), count)):
            (folder / f"{number:05}{path.suffix}").symlink_to(path.resolve())
    paths = list_pictures(folder)
    bundle = Bundle.open(vit_bundle(work / "vit-s"))
    preprocessing = bundle.manifest.preprocessing
    ready = np.stack(
        [preprocess(decode_picture(read_picture(path), min_side_wanted=224), preprocessing) for path in paths]
    )
    divided, calls = bulk_encoder(bundle)
    whole = ImageEncoder(bundle, num_threads=os.cpu_count())
    runs = {
        "ready_one_call": lambda: _encode_all(whole, 1, ready),
        "ready_divided": lambda: _encode_all(divided, calls, ready),
        "build": lambda: _build(work, bundle, divided, calls, folder),
        "all_but_encoding": lambda: _build(work, bundle, AnswersAtOnce(bundle), calls, folder),
    }
    for run in runs.values():
        run()
    wall, cpu, stages = {name: [] for name in runs}, {name: [] for name in runs}, []
    names = list(runs)
    for number in range(rounds):
        for turn in range(len(names)):
            name = names[(number + turn) % len(names)]
            cpu_before, started = time.process_time(), time.perf_counter()
            told = runs[name]()
            wall[name].append(len(paths) / (time.perf_counter() - started))
            cpu[name].append((time.process_time() - cpu_before) / len(paths))
            if name == "build":
                stages.append(told.stage_seconds)
    best = max(("ready_one_call", "ready_divided"), key=lambda name: statistics.median(wall[name]))
    ratios = [ours / alone for ours, alone in zip(wall["build"], wall[best], strict=True)]
    rate = {name: round(statistics.median(values), 2) for name, values in wall.items()}
    cpu_ms = {name: round(1000 * min(values), 2) for name, values in cpu.items()}
    encoding_ms = cpu_ms["ready_divided"]
    with Image.open(paths[0]) as first:
        kind = f"{first.format} of about {first.size[0]} x {first.size[1]}"
    return {
        "encoder": "ViT-S/16 at 224, fp32",
        "pictures": f"{len(paths)} {kind}",
        "division": f"{calls} calls of {max(1, os.cpu_count() // calls)} threads, batches of {BATCH_SIZE}",
        "pictures_per_s": rate,
        "ratio": round(rate["build"] / rate[best], 3),
        "ratio_spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "cpu_ms_a_picture": cpu_ms,
        "cpu_ratio": round(encoding_ms / (encoding_ms + cpu_ms["all_but_encoding"]), 3),
        "rounds": rounds,
        "stage_seconds": {stage: round(statistics.median(s[stage] for s in stages), 3) for stage in stages[0]},
    }


class AnswersAtOnce:
    """An encoder without a network, to see what everything else costs."""

    def __init__(self, bundle):
        self.manifest = bundle.manifest

    def encode(self, pixels, **_):
        """The same embedding for every picture."""
        return Encoded(np.full((len(pixels), self.manifest.embedding_dim), 0.05, np.float32), None)


def _spread(paths, count):
    """`count` of the paths, from all over the folder."""
    return [paths[number * len(paths) // count] for number in range(min(count, len(paths)))]


def _encode_all(encoder, calls, ready):
    with ThreadPoolExecutor(calls) as pool:
        list(pool.map(encoder.encode, [ready[at : at + BATCH_SIZE] for at in range(0, len(ready), BATCH_SIZE)]))


def _build(work, bundle, encoder, calls, folder):
    with tempfile.TemporaryDirectory(dir=work) as fresh, open_for_build(Path(fresh) / "c", bundle) as catalogue:
        return build(catalogue, encoder, read_source(folder), encoder_calls=calls, quiet=True)


def measure_memory(work):
    """Peak of a fresh process by the number of pictures."""
    bundle, peaks = tiny_bundle(work / "tiny"), {}
    for count in SIZES:
        folder = draw(work / f"small-{count}", count, (48, 40), "jpg")
        told = json.loads(_child("index", work / f"catalogue-{count}", folder, bundle).stdout.splitlines()[-1])
        assert told["encoded"] == count, told
        peaks[str(count)] = [round(told[name] / 2**20, 1) for name in ("indexing_peak_bytes", "peak_bytes")]
    small, large = peaks.values()
    return {
        "encoder": f"tiny, {TINY_DIM} dimensions",
        "indexing_peak_mib": {size: peak for size, (peak, _) in peaks.items()},
        "peak_mib": {size: peak for size, (_, peak) in peaks.items()},
        "indexing_growth": round(large[0] / small[0], 3),
        "growth": round(large[1] / small[1], 3),
    }


def measure_resume(work):
    """What is done twice after a SIGKILL in the middle; encodes are counted as they are asked for."""
    count = SIZES[0]
    bundle, log = tiny_bundle(work / "tiny-resume"), work / "encoded"
    folder, catalogue = draw(work / "small-resume", count, (320, 240), "jpg"), work / "catalogue-resume"
    arguments = ["index", catalogue, folder, bundle, log]
    process = subprocess.Popen(_command(*arguments), stdout=subprocess.DEVNULL)
    while process.poll() is None and _items(catalogue) < count // 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = _items(catalogue)
    resumed = json.loads(_child(*arguments).stdout.splitlines()[-1])
    assert resumed["encoded"] + resumed["unchanged"] == count, resumed
    encoded = sum(int(line) for line in log.read_text().split())
    again = json.loads(_child(*arguments).stdout.splitlines()[-1])
    return {
        "pictures": count,
        "kept_at_the_kill": kept,
        "encoded_twice": encoded - count,
        "wasted_encodes": round((encoded - count) / count, 4),
        "known_cpu_ms_a_picture": round(1000 * again["cpu_s"] / count, 3),
        # Of a run with ViT-S that is killed in the middle: what is encoded again, and half of the pictures looked at.
        "wasted": round((encoded - count) / count + kept / count * 1000 * again["cpu_s"] / count / VIT_S_CPU_MS, 4),
    }


def _items(path):
    if not (path / "catalogue.sqlite").is_file():
        return 0
    with SqliteCatalogue.open(path) as catalogue:
        return sum(1 for _ in catalogue.ids())


def _command(*arguments):
    return [sys.executable, __file__, "--child", *map(str, arguments)]


def _child(*arguments):
    return subprocess.run(_command(*arguments), stdout=subprocess.PIPE, text=True, check=True)


def index_alone(catalogue_path, folder, bundle_path, log=None):
    """Index in this process and say what it took; each number of pictures encoded is appended to `log`."""
    bundle = Bundle.open(Path(bundle_path))
    encoder, calls = bulk_encoder(bundle)
    if log:
        encode, file = encoder.encode, os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def counted(pixels, **options):
            os.write(file, f"{len(pixels)}\n".encode())
            return encode(pixels, **options)

        encoder.encode = counted
    with open_for_build(Path(catalogue_path), bundle) as catalogue:
        started, peak_before, compact = time.process_time(), [], catalogue.compact
        catalogue.compact = lambda: peak_before.append(_peak_bytes()) or compact()
        report = build(catalogue, encoder, read_source(folder), encoder_calls=calls, quiet=True)
        cpu_s = time.process_time() - started
    figures = {"encoded": report.encoded, "unchanged": report.unchanged, "cpu_s": cpu_s}
    print(json.dumps(figures | {"peak_bytes": _peak_bytes(), "indexing_peak_bytes": max(peak_before, default=0)}))


def _peak_bytes():
    """Most memory that this process has held (its own: what `getrusage` says is inherited from its parent)."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def main():
    """Measure, print one JSON object."""
    if sys.argv[1:3] == ["--child", "index"]:
        index_alone(*sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="?", metavar="PICTURES")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--count", type=int, default=192, help="pictures of a round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true", help="keep the figures; parts not measured stay as they were")
    args = parser.parse_args()
    result = {"device": f"{os.cpu_count()} CPU cores", "date": date.today().isoformat()}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if "rate" in args.parts:
            name = "rate_drawn" if args.pictures is None else "rate_photographs"
            result[name] = measure_rate(work, args.pictures, args.count, args.rounds)
        if "memory" in args.parts:
            result["memory"] = measure_memory(work)
        if "resume" in args.parts:
            result["resume"] = measure_resume(work)
    if args.save:
        kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        result = {**kept, **result}
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
