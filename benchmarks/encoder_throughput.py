"""How many pictures a second each variant of an encoder embeds, beside torch, torch.compile and OpenVINO.

    python benchmarks/encoder_throughput.py                                  ViT-S/16 at 224, random weights
    python benchmarks/encoder_throughput.py --run RUN --pictures DIR         and what pruning costs a trained encoder

Weights do not change the speed, so the first part needs none. All contenders are in one process with the same number
of threads and take turns, round after round; a figure is the median over rounds, a ratio the median of the ratios of
single rounds, and its spread the least and the greatest of those. OpenVINO gets our graph in plain operators, which it
runs faster than torch's usual export of a ViT; torch runs the network that training has, with CLS alone in the last
layer.
The second part tries every pruning of the grid on the run's encoder: retrieval of each (leave one out), and the speed
of the cheapest that keeps the floor.
"""

import argparse
import importlib.util
import json
import statistics
import tempfile
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import torch
from random_encoders import IMAGE_SIZE, PATCH_SIZE, network_of
from rich.console import Console

from encoder.engine import open_session
from encoder.manifest import Pruning
from export.bundling import ExportOptions, export_network
from export.gate_pictures import read_gate_pictures
from export.our_network import run_network
from export.pruning_choice import embed_pruned, pruning_cost, prunings
from export.retrieval_gate import compare_retrieval
from export.variants import VariantWriter
from training.augmentation import normalise

RESULTS = Path(__file__).parent / "results" / "encoder_throughput.json"
PRUNING = Pruning(after_layer=4, keep_ratio=0.3)  # as a third of the layers, what the trained encoder's pictures allow
OTHERS = ("torch", "torch.compile", "openvino")
console = Console(stderr=True)


class TorchEncoder(torch.nn.Module):
    """What somebody serves who serves the network in torch."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels_BSS3):
        """Pixels to embeddings of length 1."""
        views = normalise(pixels_BSS3.permute(0, 3, 1, 2).float() / 255)
        return torch.nn.functional.normalize(self.backbone(views, cls_only=True).cls_BD, dim=1)


def write_variants(network, folder):
    """Files of each variant, by contender."""
    writer = VariantWriter(network, folder, half_weights=False)
    variants = {"fp32": writer.fp32(), "int8": writer.int8_dynamic(), "pruned": writer.pruned(PRUNING)}
    files = {name: folder / variant.graphs[0].file for name, variant in variants.items()}
    files["fp32, attention and tokens"] = folder / variants["fp32"].graphs[1].file
    writer.plain_graph(folder / "plain.onnx")
    return files


def contenders(network, files, folder, threads):
    """Functions from pixels to embeddings, by name; those that are not installed are left out."""
    torch.set_num_threads(threads)
    found = {}
    for name, path in files.items():
        session = open_session(path, ["cpu"], num_threads=threads)
        outputs = [one.name for one in session.get_outputs()]
        found[name] = lambda pixels, session=session, outputs=outputs: session.run(outputs, {"pixels": pixels})[0]
    eager = TorchEncoder(network.reference.backbone).eval()
    compiled = torch.compile(eager, dynamic=True)
    for name, module in (("torch", eager), ("torch.compile", compiled)):
        found[name] = lambda pixels, module=module: _in_torch(module, pixels)
    if importlib.util.find_spec("openvino"):
        import openvino

        core = openvino.Core()
        core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"})
        model = core.compile_model(str(folder / "plain.onnx"), "CPU")
        found["openvino"] = lambda pixels: model(pixels)[0]
    return found


@torch.inference_mode()
def _in_torch(module, pixels):
    return module(torch.from_numpy(pixels)).numpy()


def race(found, batch, rounds, least_s=0.4):
    """Seconds a picture of each contender in each round."""
    pixels = np.random.default_rng(0).integers(0, 256, (batch, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    repeats = {}
    for name, embed in found.items():
        embed(pixels)  # compiles, allocates
        started = time.perf_counter()
        embed(pixels)
        repeats[name] = max(1, round(least_s / (time.perf_counter() - started)))
    seconds = {name: [] for name in found}
    for _ in range(rounds):
        for name, embed in found.items():
            started = time.perf_counter()
            for _ in range(repeats[name]):
                embed(pixels)
            seconds[name].append((time.perf_counter() - started) / repeats[name] / batch)
    return seconds


def ratio(slower, faster):
    """Median, least and greatest of the ratios of single rounds."""
    ratios = [one / other for one, other in zip(slower, faster, strict=True)]
    return {"median": round(statistics.median(ratios), 3), "range": [round(min(ratios), 3), round(max(ratios), 3)]}


def compare(found, threads, batch, rounds):
    """One cell of the table."""
    seconds = race(found, batch, rounds)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    best = min((name for name in OTHERS if name in median), key=median.__getitem__)
    cell = {
        "threads": threads,
        "batch": batch,
        "pictures_per_s": {name: round(1 / value, 2) for name, value in median.items()},
        "best_other": best,
        "fp32_over_best_other": ratio(seconds[best], seconds["fp32"]),
        "int8_over_fp32": ratio(seconds["fp32"], seconds["int8"]),
        "pruned_over_fp32": ratio(seconds["fp32"], seconds["pruned"]),
    }
    console.print(cell)
    return cell


def trained(run, pictures, rounds):
    """What pruning does to a trained encoder: the curve, and the speed of what was chosen."""
    network = run_network(run)
    gate = read_gate_pictures(pictures, network.preprocessing, 600, "the curve (--pictures)")
    dense_ND = embed_pruned(network, gate.pixels_NSS3, None)
    curve = [
        (one, compare_retrieval(dense_ND, embed_pruned(network, gate.pixels_NSS3, one), gate.labels))
        for one in prunings(network.depth)
    ]
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        report = export_network(
            network, bundle, ExportOptions(pictures=pictures, int8=True, prune="auto"), console.print
        )
        sessions = {
            name: open_session(bundle / variant.graphs[0].file, ["cpu"], num_threads=1)
            for name, variant in report.manifest.variants.items()
        }
        seconds = {name: [] for name in sessions}
        pixels = gate.pixels_NSS3[:32]
        for _ in range(rounds):
            for name, session in sessions.items():
                started = time.perf_counter()
                session.run(["embedding"], {"pixels": pixels})
                seconds[name].append(time.perf_counter() - started)
    return {
        "trained_on": report.manifest.trained_on,
        "pictures": len(gate.files),
        "chosen": asdict(report.manifest.variants["pruned"].pruning),
        "pruned_over_fp32": ratio(seconds["fp32"], seconds["pruned"]),
        "int8_over_fp32": ratio(seconds["fp32"], seconds["int8"]),
        "variants": {name: {**asdict(check), "ratio": check.ratio} for name, check in report.retrieval.items()},
        "curve": [
            {**asdict(pruning), "cost": round(pruning_cost(pruning, network.depth), 3),
             "mAP_ratio": round(check.ratio, 4), "rank_1": round(check.rank_1, 4),
             "mean_cosine": round(check.cosine_mean, 4)}
            for pruning, check in curve
        ],
    }  # fmt: skip


def main() -> None:
    """Measure, print, and with --save keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="small")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--run", type=Path, help="a trained run, for the second part")
    parser.add_argument("--pictures", type=Path, help="pictures it is measured on, one sub-folder a label")
    parser.add_argument("--save", action="store_true", help="keep the result for the README")
    args = parser.parse_args()
    network = network_of(args.encoder)
    with tempfile.TemporaryDirectory() as folder:
        files = write_variants(network, Path(folder))
        cells = []
        for threads in args.threads:
            found = contenders(network, files, Path(folder), threads)
            cells += [compare(found, threads, batch, args.rounds) for batch in args.batches]
            torch.compiler.reset()  # what was compiled has its number of threads in it
    result = {
        "encoder": f"{args.encoder}/{PATCH_SIZE} at {IMAGE_SIZE}",
        "pruning": asdict(PRUNING),
        "date": date.today().isoformat(),
        "rounds": args.rounds,
        "cells": cells,
        **{
            key: round(statistics.geometric_mean(cell[key]["median"] for cell in cells), 3)
            for key in ("fp32_over_best_other", "int8_over_fp32", "pruned_over_fp32")
        },
    }
    if args.run:
        result["trained"] = trained(args.run, args.pictures, args.rounds)
    if args.save:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
