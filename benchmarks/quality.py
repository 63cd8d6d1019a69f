"""What the local branch is worth: MoCo v3, LoDisc (zero, drop) and the random-mask control on real photographs.

    python benchmarks/quality.py DIR [--sets cars grocery] [--seeds 3] [--pictures 12800]

DIR holds one folder a set, each with train/ and test/ of one sub-folder a label. Every method gets the same initial
weights, pictures, steps, batch and augmentation of a seed; only the recipe file differs. The network is small and the
runs are short, from no initial weights: it is a comparison of methods at a price that two CPU cores can pay, not of
what they reach. Runs that the result file already holds are not done again. Prints one JSON object.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.histogram import color_histogram
from encoder.picture_files import folder_label, list_pictures
from encoder.preprocessing import decode_picture, preprocess, read_picture
from encoder.retrieval_metrics import RetrievalScores, leave_one_out, query_gallery
from training.augmentation import normalise
from training.checkpoint import build_model, load_model
from training.embedding import EmbeddingModel, serving_preprocessing
from training.recipe import Recipe, load_recipe, recipe_values
from training.trainer import train
from training.vit import VisionTransformer

RESULT = Path(__file__).parent / "results" / "quality.json"
METHODS = {"moco_v3": "moco_v3", "zero": "paper", "drop": "drop", "random_mask": "random_mask"}
SIZE: dict[str, Any] = {
    "encoder": "nano", "image_size": 96, "patch_size": 16, "stem": "conv", "hidden_dim": 512, "projection_dim": 128,
    "batch_size": 64, "lr": 2e-3, "weight_decay": 0.05, "crop_min": 0.2, "precision": "auto", "epochs": 1000,
}  # fmt: skip
# Leave-one-out means nothing where several photographs show one shelf: there, test pictures query the train pictures.
GALLERY_IS_TRAIN = {"grocery"}


class LabelledPixels:
    """A split decoded once by the server's preprocessing, so that each of many runs is measured in seconds."""

    def __init__(self, folder: Path, image_size: int) -> None:
        files = [path for path in list_pictures(folder) if folder_label(folder, path)]
        self.labels = [str(folder_label(folder, path)) for path in files]
        pictures = [decode_picture(read_picture(path), min_side_wanted=256) for path in files]
        self.histogram_ND = np.stack([color_histogram(np.asarray(picture)) for picture in pictures])
        preprocessing = serving_preprocessing(image_size)
        self.pixels_NSS3 = np.stack([preprocess(picture, preprocessing) for picture in pictures])

    @torch.inference_mode()
    def embed(self, backbone: VisionTransformer, feature: str) -> NDArray[np.float32]:
        """Embeddings of all pictures, float32, shape (N, D)."""
        backbone.eval()
        parts = []
        for start in range(0, len(self.labels), 128):
            pixels = torch.from_numpy(self.pixels_NSS3[start : start + 128]).permute(0, 3, 1, 2).float() / 255
            parts.append(EmbeddingModel(backbone, feature).embedding(backbone(normalise(pixels))).numpy())
        return np.concatenate(parts)


class PhotographSet:
    """One set with its protocol."""

    def __init__(self, folder: Path, image_size: int) -> None:
        self.name, self.train_dir = folder.name, folder / "train"
        self.test = LabelledPixels(folder / "test", image_size)
        self.gallery = LabelledPixels(folder / "train", image_size) if self.name in GALLERY_IS_TRAIN else None

    @property
    def protocol(self) -> str:
        """How it is scored."""
        return "leave one out in test" if self.gallery is None else "test queries, train gallery"

    def score(self, backbone: VisionTransformer, feature: str) -> RetrievalScores:
        """Retrieval of an encoder."""
        queries_ND = self.test.embed(backbone, feature)
        return self._score(queries_ND, None if self.gallery is None else self.gallery.embed(backbone, feature))

    def score_histogram(self) -> RetrievalScores:
        """Retrieval of the colour histogram."""
        return self._score(self.test.histogram_ND, None if self.gallery is None else self.gallery.histogram_ND)

    def _score(self, queries_ND: NDArray[np.float32], gallery_ND: NDArray[np.float32] | None) -> RetrievalScores:
        if self.gallery is None or gallery_ND is None:
            return leave_one_out(queries_ND, self.test.labels)
        return query_gallery(queries_ND, self.test.labels, gallery_ND, self.gallery.labels)


def run_recipe(method: str, seed: int, num_pictures: int, num_train: int, precision: str) -> tuple[Recipe, int]:
    """The recipe of one run, and its number of steps; the schedule ends with the run."""
    steps_per_epoch = num_train // SIZE["batch_size"]
    epochs = max(1, round(num_pictures / SIZE["batch_size"] / steps_per_epoch))
    overrides = {**SIZE, "seed": seed, "epochs": epochs, "precision": precision}
    return load_recipe(METHODS[method], overrides), epochs * steps_per_epoch


def main() -> None:
    """Do the runs that are missing, one seed of every method before the next seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DIR")
    parser.add_argument("--sets", nargs="+", default=["cars", "grocery"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=12800, help="pictures seen a run, rounded to whole epochs")
    args = parser.parse_args()
    precision = "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"
    result = json.loads(RESULT.read_text()) if RESULT.is_file() else {"runs": [], "baselines": {}}
    done = {(run["set"], run["method"], run["seed"], run["pictures"]) for run in result["runs"]}
    with tempfile.TemporaryDirectory() as folder:
        sets = [PhotographSet(args.data / name, SIZE["image_size"]) for name in args.sets]
        for each in sets:
            result["baselines"].setdefault(each.name, {})["colour histogram"] = asdict(each.score_histogram())
        for seed in range(args.seeds):
            for each in sets:
                for method in METHODS:
                    if (each.name, method, seed, args.pictures) in done:
                        continue
                    run = one_run(each, method, seed, args.pictures, precision, Path(folder))
                    result["runs"].append(run)
                    result.update(
                        cores=os.cpu_count(), date=time.strftime("%Y-%m-%d"), precision=precision, size=SIZE,
                        protocols={one.name: one.protocol for one in sets},
                    )  # fmt: skip
                    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({"summary": summary(result["runs"]), "baselines": result["baselines"]}))


def one_run(
    each: PhotographSet, method: str, seed: int, num_pictures: int, precision: str, work: Path
) -> dict[str, Any]:
    """Train one method and score it, and the weights it began from."""
    num_train = len(list_pictures(each.train_dir))
    recipe, num_steps = run_recipe(method, seed, num_pictures, num_train, precision)
    run = work / f"{each.name}-{method}-{seed}"
    cache = work / f"pictures-{each.name}"
    cache.mkdir(exist_ok=True)
    run.mkdir()
    (run / "pictures").symlink_to(cache)
    started = time.monotonic()
    train(recipe, each.train_dir, run, device=torch.device("cpu"), quiet=True)
    seconds = time.monotonic() - started
    trained = each.score(load_model(run)[0].base.backbone, recipe.feature)
    untrained = each.score(build_model(recipe).base.backbone, recipe.feature)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    outcome = {
        "set": each.name, "method": method, "seed": seed, "pictures": num_pictures, "steps": num_steps,
        "seconds": round(seconds), "local": recipe_values(recipe)["local"], "scores": asdict(trained),
        "untrained": asdict(untrained), "Lg": log[-1]["Lg"], "Ll": log[-1]["Ll"],
    }  # fmt: skip
    print(json.dumps(outcome), flush=True)
    return outcome


def summary(runs: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Mean and standard deviation over the seeds, by set, method and figure."""
    table: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name in sorted({run["set"] for run in runs}):
        for method in METHODS:
            scores = [run["scores"] for run in runs if (run["set"], run["method"]) == (name, method)]
            if scores:
                table.setdefault(name, {})[method] = {
                    key: [float(np.mean([s[key] for s in scores])), float(np.std([s[key] for s in scores], ddof=0))]
                    for key in ("rank_1", "rank_5", "mean_average_precision")
                }
    return table


if __name__ == "__main__":
    main()
