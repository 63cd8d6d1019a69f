"""Which embedding of a trained run finds best: its feature, the power of its whitening, and the side of the pictures.

    python benchmarks/embedding_choice.py DIR RUN [--sets cars ...] [--sides 96 112] [--out FILE]

DIR holds one folder a set, each with train/ and test/ of one sub-folder a label. The weights are the run's; of each
side the last layer is computed once, and every feature is whitened anew by what the training pictures of all sets look
like in it, without labels. Figures of the training pictures (leave one out) stand beside those of the test pictures,
so that a choice can be made on the first and read on the second. Prints one JSON object as its last line.
"""

# N pictures, D embedding dim.

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from quality_pictures import PhotographSet, Split
from result_file import write_result

from encoder.retrieval_metrics import leave_one_out, query_gallery
from training.augmentation import normalise
from training.checkpoint import load_model
from training.embedding import EmbeddingModel, serving_preprocessing
from training.feature import feature_weights
from training.whitening import NUM_LEARNT_FROM, Whitening

RESULT = Path(__file__).parent / "results" / "embedding_choice.json"
FEATURES = ("cls", "mean", "cls+mean", "cls+0.5*mean")
POWERS = (0.0, 0.5, 0.75, 1.0)
PARTS = "cls+mean"  # every feature here is made of these
BATCH_SIZE = 128

Found = dict[str, float]


def parts_of(model: EmbeddingModel, split: Split, side: int) -> dict[str, NDArray[np.float32]]:
    """CLS and the mean of the patches of a split's pictures, each of length 1, shape (N, D), by name."""
    pixels_NSS3 = split.pixels(serving_preprocessing(side))
    joined = []
    with torch.inference_mode():
        for start in range(0, len(pixels_NSS3), BATCH_SIZE):
            views = (
                torch.from_numpy(np.array(pixels_NSS3[start : start + BATCH_SIZE])).permute(0, 3, 1, 2).float() / 255
            )
            joined.append(model.joined(model.backbone(normalise(views))).numpy())
    names = list(feature_weights(PARTS))
    halves = np.split(np.concatenate(joined), len(names), axis=1)
    return {name: half * len(names) ** 0.5 for name, half in zip(names, halves, strict=True)}


def join(parts: dict[str, NDArray[np.float32]], feature: str) -> torch.Tensor:
    """A feature made of its parts, float32, shape (N, D)."""
    return torch.from_numpy(
        np.concatenate([weight * parts[name] for name, weight in feature_weights(feature).items()], axis=1)
    )


def learnt_whitening(train_ND: torch.Tensor, feature: str, power: float) -> Whitening:
    """As a run learns it when it ends."""
    rows = np.unique(np.linspace(0, len(train_ND) - 1, min(NUM_LEARNT_FROM, len(train_ND))).astype(int))
    whitening = Whitening(feature, train_ND.shape[1], power)
    whitening.learn(train_ND[rows])
    return whitening


def measure_side(model: EmbeddingModel, sets: list[PhotographSet], side: int) -> list[dict[str, Any]]:
    """One entry a feature and power: what it finds in each set."""
    parts = {(each.name, name): parts_of(model, split, side) for each in sets
             for name, split in (("train", each.train), ("test", each.test))}  # fmt: skip
    entries = []
    for feature in FEATURES:
        joined = {key: join(one, feature) for key, one in parts.items()}
        train_ND = torch.cat([joined[each.name, "train"] for each in sets])
        for power in POWERS:
            if power:
                whitening = learnt_whitening(train_ND, feature, power)
                embedded = {key: whitening(one).numpy() for key, one in joined.items()}
            else:
                embedded = {key: one.numpy() for key, one in joined.items()}
            found = {
                each.name: _found(each, embedded[each.name, "train"], embedded[each.name, "test"]) for each in sets
            }
            entries.append({"feature": feature, "power": power, "side": side, "sets": found})
            print(json.dumps(entries[-1]), flush=True)
    return entries


def _found(each: PhotographSet, train_ND: NDArray[np.float32], test_ND: NDArray[np.float32]) -> dict[str, Found]:
    train, test = each.train.labels, each.test.labels
    measured = {
        "train": leave_one_out(train_ND, train),
        "test": query_gallery(test_ND, test, train_ND, train)
        if each.gallery_is_train
        else leave_one_out(test_ND, test),
    }
    return {name: {"rank_1": one.rank_1, "mAP": one.mean_average_precision} for name, one in measured.items()}


def main() -> None:
    """Measure every combination."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DIR")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run of lodisc train")
    parser.add_argument("--sets", nargs="+", default=["cars", "flowers17", "grocery", "monkeys"])
    parser.add_argument("--sides", nargs="+", type=int, default=[], help="in pixels (default: the run's)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, help="where decoded pictures are kept")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lodisc, state = load_model(args.run)
    model = EmbeddingModel(lodisc.base.backbone, PARTS).eval()
    with tempfile.TemporaryDirectory() as folder:
        cache = args.cache or Path(folder)
        sets = [PhotographSet.open(args.data / name, cache, args.threads) for name in args.sets]
        sides = args.sides or [state.recipe.image_size]
        entries = [entry for side in sides for entry in measure_side(model, sets, side)]
    result = {
        "protocols": {each.name: each.protocol for each in sets},
        "step": state.step,
        "encoder": state.recipe.encoder,
        "entries": entries,
        "date": time.strftime("%Y-%m-%d"),
    }
    write_result(args.out, result)
    best = max(entries, key=lambda entry: sum(one["train"]["rank_1"] for one in entry["sets"].values()))
    print(json.dumps({"combinations": len(entries), "best_on_training_pictures": best}))


if __name__ == "__main__":
    main()
