"""What helps where pictures are few and compute is little: LoDisc with one thing changed at a time.

    python benchmarks/small_data.py DIR [--set flowers17] [--pictures 2560] [--seeds 3] [--out FILE]

DIR holds the set's folder with train/ and test/, whose sub-folders are labels (read to measure, not to train). First
a ladder, on which each rung keeps what stands above it; then each further option alone on top of the whole ladder. All
see as many pictures, and are measured as in `quality.py`. Runs that the result file holds already are not done again;
runs of another set, length or START need another file. Prints one JSON object as its last line.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from quality_measure import figures, measure
from quality_methods import train_and_embed
from quality_pictures import PhotographSet, require_a_batch
from result_file import write_result

from training.device import resolve_precision
from training.recipe import Recipe, load_recipe

RESULT = Path(__file__).parent / "results" / "small_data.json"
CPU = torch.device("cpu")
START: dict[str, Any] = {
    "encoder": "nano", "image_size": 64, "patch_size": 16, "hidden_dim": 512, "projection_dim": 128, "batch_size": 64,
    "lr": 2e-3, "weight_decay": 0.05, "crop_min": 0.2, "precision": "auto",
}  # fmt: skip
LADDER: dict[str, dict[str, Any]] = {
    "patch stem, 16 pixels, MoCo v3's colours": {},
    "+ colours hardly changed": {
        "jitter": (0.4, 0.4, 0.2, 0.02), "greyscale_prob": 0.0, "solarise_prob": (0.0, 0.0),
    },
    "+ convolutional stem": {"stem": "conv"},
    "+ patches of 8 pixels": {"patch_size": 8},
    "+ stem from statistics, small residuals": {"stem_init": "pca", "residual_scale": 0.1},
    "+ whitening 0.5": {"whitening": 0.5},
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {
    "mean of the patches beside CLS": {"feature": "cls+mean"},
    "2 small crops of 32 pixels": {"num_small_crops": 2, "small_crop_size": 32},
    "2 pairs of views a picture": {"repeats": 2},
    "views that grow from 48 pixels": {"image_size_start": 48},
    "kept patches from 80 % to 30 %": {"keep_ratio_start": 0.8},
}


def variants() -> dict[str, dict[str, Any]]:
    """Recipe fields by the name of a row."""
    found, fields = {}, START
    for name, change in LADDER.items():
        fields = fields | change
        found[name] = fields
    return found | {name: fields | change for name, change in OPTIONS.items()}


def recipe_of(fields: dict[str, Any], seed: int, num_pictures: int, num_train: int) -> Recipe:
    """The recipe of a run that sees about `num_pictures` pictures; repeated ones count each time."""
    steps_per_epoch = num_train // (fields["batch_size"] // fields.get("repeats", 1))
    epochs = max(1, round(num_pictures / fields["batch_size"] / steps_per_epoch))
    return resolve_precision(load_recipe("drop", {**fields, "seed": seed, "epochs": epochs}), CPU)


def main() -> None:
    """Do the runs that are missing, one seed of every row before the next seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DIR")
    parser.add_argument("--set", default="flowers17")
    parser.add_argument("--pictures", type=int, default=2560)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    about = {"set": args.set, "pictures": args.pictures, "start": json.loads(json.dumps(START))}
    result = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
    differing = [name for name, value in about.items() if result.get(name) != value]
    if result.get("runs") and differing:
        theirs, ours = (", ".join(f"{name} {of.get(name)}" for name in differing) for of in (result, about))
        raise SystemExit(f"{args.out} holds runs with {theirs}, these would be with {ours}; choose another --out")
    result = {**result, **about, "runs": result.get("runs", [])}
    done = {(run["row"], run["seed"]) for run in result["runs"]}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        each = PhotographSet.open(args.data / args.set, work / "cache", args.threads)
        require_a_batch([each], max(fields["batch_size"] for fields in variants().values()))
        result["protocol"] = each.protocol
        for seed in range(args.seeds):
            for number, (row, fields) in enumerate(variants().items()):
                if (row, seed) in done:
                    continue
                recipe = recipe_of(fields, seed, args.pictures, len(each.train))
                test, learnt, told = train_and_embed(each, recipe, CPU, work / f"{number}-{seed}", work / "pictures")
                found = figures(measure(each, test.embedding_ND, learnt.embedding_ND))
                run = {"row": row, "seed": seed, "epochs": recipe.epochs, **told, "figures": found}
                result["runs"].append(run)
                result["date"] = time.strftime("%Y-%m-%d")
                write_result(args.out, result)
                print(json.dumps(run), flush=True)
    print(json.dumps({"set": args.set, "runs": len(result["runs"])}))


if __name__ == "__main__":
    main()
