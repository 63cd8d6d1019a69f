"""The score for "none of these": calibrated without a quarter of the classes, asked with test pictures of all."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from answers_sets import LabelledSet

from index.answers.asking import ask
from index.answers.calibrate import calibrate_catalogue
from index.answers.reliability import auroc
from index.answers.vote import predict
from index.sqlite_catalogue import SqliteCatalogue

NUM_DRAWS = 3


def measure(each: LabelledSet, work: Path) -> dict[str, Any]:
    """Mean over draws of the classes that are held out; the verdict at 5 % false acceptance."""
    draws = [_one(each, work, seed) for seed in range(NUM_DRAWS)]
    return {name: round(float(np.mean([draw[name] for draw in draws])), 4) for name in draws[0]}


def _one(each: LabelledSet, work: Path, seed: int) -> dict[str, float]:
    rank = each.ranks[0]
    classes = sorted({labels[rank] for labels in each.train.labels})
    drawn = np.random.default_rng(seed).permutation(len(classes))
    held_out = {classes[number] for number in drawn[: len(classes) // 4]}
    folder = work / f"{each.name}-without"
    shutil.copytree(each.catalogue, folder, dirs_exist_ok=True)
    with SqliteCatalogue.open(folder) as catalogue:
        catalogue.delete([item.id for item in _items(catalogue) if item.labels[rank] in held_out])
        calibration = calibrate_catalogue(catalogue, false_acceptance=0.05, quiet=True)
        scores, rejected = [], []
        for vector_D in each.test.vectors_ND:
            found = ask(catalogue, vector_D[None], k=1, calibration=calibration)
            prediction = predict(found.photographs, found.weights, each.ranks, calibration)
            scores.append(prediction.unknown_score)
            rejected.append(bool(prediction.unknown))
    shutil.rmtree(folder)
    scores_Q, rejected_Q = np.array(scores), np.array(rejected)
    stranger_Q = np.array([labels[rank] in held_out for labels in each.test.labels])
    assert calibration.unknown is not None
    return {
        "stated_auroc": calibration.unknown.auroc,
        "auroc": auroc(scores_Q[~stranger_Q], scores_Q[stranger_Q]),
        "false_acceptance": float((~rejected_Q[stranger_Q]).mean()),
        "known_rejected": float(rejected_Q[~stranger_Q].mean()),
    }


def _items(catalogue: SqliteCatalogue) -> list[Any]:
    return [record.item for record in catalogue.records(thumbnails=False)]
