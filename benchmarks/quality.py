"""What the method is worth: hand-made baselines, MoCo v3, LoDisc and its controls on real photographs, on equal terms.

    python benchmarks/quality.py DIR [--sets cars ...] [--methods moco_v3 ...] [--seeds 3] [--pictures 6400]
    python benchmarks/quality.py DIR --baselines-only         the rows that need no training
    python benchmarks/quality.py DIR --bundle bundles/demo    a bundle, beside what is there

DIR holds one folder a set, each with train/ and test/ of one sub-folder a label. Rank-1, rank-5 and mAP (leave one out
in test; of grocery, test in train), kNN and linear probing (learnt on train), with intervals over the test pictures,
and the differences between methods with intervals over pictures and seeds (`quality_paired`). The network is small and
the runs are short, from no initial weights: a comparison of methods at a price that two CPU cores can pay, not of what
they reach. One seed of every method comes before the next seed; what the result file already holds is not done again,
and runs of another size, device or number of pictures need another file.
Prints a JSON object a run, and at last one with the number of runs and the differences.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from quality_methods import (
    HAND_MADE,
    METHODS,
    RERANKED,
    SIZE,
    TRAINED,
    UNTRAINED,
    Measured,
    bundle_name,
    hand_made,
    of_bundle,
    recipe_of,
    trained,
    untrained,
)
from quality_pictures import PhotographSet, require_a_batch
from quality_results import Results

from encoder.bundle import Bundle
from training.device import choose_device

RESULT = Path(__file__).parent / "results" / "quality.json"
SETS = ("cars", "grocery", "flowers17", "monkeys", "caltech101")
CACHE = Path(tempfile.gettempdir()) / "lodisc-quality-pictures"


def main() -> None:
    """Do the runs that are missing."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    device, results = choose_device(args.device), Results(args.out)
    sets = [PhotographSet.open(args.data / name, args.cache, args.threads) for name in args.sets]
    results.document["protocols"] |= {each.name: each.protocol for each in sets}
    methods = set(args.methods if args.bundle is None else ())
    if methods - set(HAND_MADE):
        # What is at fault is told before any work: a set, or a recipe, whose epochs depend on the set.
        require_a_batch(sets, SIZE["batch_size"])
        for each in sets:
            for method in TRAINED:
                recipe_of(method, 0, args.pictures, len(each.train), device)
    results.accept(methods, args.pictures, SIZE, str(device))
    about = {"cores": os.cpu_count(), "threads": args.threads}
    with tempfile.TemporaryDirectory() as folder:
        for each, seed, pictures, measured in _missing(args, sets, results, device, Path(folder)):
            for method, outcomes, told in measured:
                run = {"set": each.name, "method": method, "seed": seed, "pictures": pictures, **told}
                run = results.add(run, outcomes, about | {"date": time.strftime("%Y-%m-%d")})
                print(json.dumps(run), flush=True)
    print(json.dumps({"runs": len(results.document["runs"]), "differences": results.document["differences"]}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DIR")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--baselines-only", action="store_true", help="the hand-made rows and the untrained network")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="measure a bundle, and nothing else")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=6400, help="pictures seen a run, rounded to whole epochs")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cpu", help="that trains and embeds")
    parser.add_argument("--out", type=Path, default=RESULT, help="the result file, which runs are added to")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where decoded pictures are kept")
    args = parser.parse_args()
    if args.baselines_only:
        args.methods = [*HAND_MADE, *UNTRAINED]
    return args


def _missing(
    args: argparse.Namespace, sets: list[PhotographSet], results: Results, device: torch.device, work: Path
) -> Iterator[tuple[PhotographSet, int, int, Measured]]:
    """Set, seed, pictures seen and the work itself, of each run that is to be made, in the order to make them in."""
    if args.bundle is not None:
        yield from _bundle_runs(args, sets, results)
        return
    for each in sets:
        for method in HAND_MADE:
            if method in args.methods and results.find(each.name, method, 0, 0) is None:
                yield each, 0, 0, hand_made(each, method)
    for seed in range(args.seeds):
        for each in sets:
            store = args.cache / f"training-{each.name}"
            if set(UNTRAINED) & set(args.methods) and results.find(each.name, UNTRAINED[-1], seed, 0) is None:
                yield each, seed, 0, untrained(each, seed, device, store)
            for method in TRAINED:
                rows = {method, f"{RERANKED}_rerank"} if method == RERANKED else {method}
                wanted = rows & set(args.methods)
                if any(results.find(each.name, row, seed, args.pictures) is None for row in wanted):
                    yield each, seed, args.pictures, trained(each, method, seed, args.pictures, device, work, store)


def _bundle_runs(
    args: argparse.Namespace, sets: list[PhotographSet], results: Results
) -> Iterator[tuple[PhotographSet, int, int, Measured]]:
    bundle = Bundle.open(args.bundle)
    rows = [bundle_name(bundle), f"{bundle_name(bundle)}_rerank"]
    wanted = rows if "tokens" in bundle.manifest.outputs else rows[:1]
    for each in sets:
        found = {row: results.find(each.name, row, 0, 0) for row in rows}
        is_stale = any(run is not None and run["bundle"] != bundle.manifest.id for run in found.values())
        if is_stale or any(found[row] is None for row in wanted):
            yield each, 0, 0, of_bundle(each, args.bundle, args.threads)


if __name__ == "__main__":
    main()
