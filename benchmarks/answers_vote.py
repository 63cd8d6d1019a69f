"""The calibrated vote on test pictures: right answers, calibration error, coverage and accuracy at each rank."""

from pathlib import Path
from typing import Any

import numpy as np
from answers_sets import LabelledSet

from encoder.bootstrap import mean_figure
from index.answers.asking import ask
from index.answers.calibrate import calibrate_catalogue
from index.answers.calibration import Calibration
from index.answers.reliability import calibration_error, chance_error
from index.answers.vote import predict
from index.catalogue import Catalogue
from index.open_catalogue import open_catalogue


def measure(each: LabelledSet, work: Path) -> dict[str, Any]:
    """Calibrated by leave one out and asked all test pictures; by half of those, and asked the other half."""
    generator = np.random.default_rng(0)
    order = generator.permutation(len(each.test.labels))
    half = set(order[: len(order) // 2].tolist())
    with open_catalogue(each.catalogue) as catalogue, open_catalogue(work / f"{each.name}-test") as test:
        by_itself = calibrate_catalogue(catalogue, quiet=True)
        by_questions = calibrate_catalogue(catalogue, questions=_Half(test, half), quiet=True)
        return {
            "leave one out": _stated(by_itself) | {"on new pictures": _asked(each, catalogue, by_itself, order)},
            "half of the test pictures": _stated(by_questions)
            | {"on new pictures": _asked(each, catalogue, by_questions, order[len(order) // 2 :])},
        }


class _Half:
    """A catalogue of which only some records are there."""

    def __init__(self, catalogue: Catalogue, wanted: set[int]) -> None:
        self._catalogue, self._wanted = catalogue, wanted
        self.manifest, self.path = catalogue.manifest, catalogue.path

    def records(self, *, thumbnails: bool) -> Any:
        """Those at the wanted positions."""
        found = enumerate(self._catalogue.records(thumbnails=thumbnails))
        return (record for position, record in found if position in self._wanted)


def _stated(calibration: Calibration) -> dict[str, Any]:
    return {
        "k": calibration.k,
        "stated": {
            rank: {
                "vote": round(one.accuracy, 4), "first": round(one.first_accuracy, 4),
                "ece_before": round(one.error_before, 4), "ece": round(one.error, 4),
                "ece_by_chance": round(one.error_by_chance, 4),
            }
            for rank, one in calibration.ranks.items()
        },
    }  # fmt: skip


def _asked(each: LabelledSet, catalogue: Catalogue, calibration: Calibration, asked: Any) -> dict[str, Any]:
    found = [ask(catalogue, each.test.vectors_ND[place][None], k=1, calibration=calibration) for place in asked]
    truth = [each.test.labels[place] for place in asked]
    answers = [predict(one.photographs, one.weights, each.ranks, calibration) for one in found]
    plain = [predict([one.photographs[0][:10]], [1.0], each.ranks, None) for one in found]
    figures: dict[str, Any] = {}
    for rank in calibration.ranks:
        confidence, right = _top(answers, truth, rank)
        sure = confidence >= calibration.floor
        first = np.array([one.matches[0].labels[rank] == t[rank] for one, t in zip(found, truth, strict=True)])
        figures[rank] = {
            "vote": vars(mean_figure(right.astype(np.float64))), "first": float(first.mean()),
            "ece_before": calibration_error(*_top(plain, truth, rank)), "ece": calibration_error(confidence, right),
            "ece_by_chance": chance_error(confidence), "coverage": float(sure.mean()),
            "accuracy_of_sure": float(right[sure].mean()) if sure.any() else None,
        }  # fmt: skip
    sure = np.array([one.sure for one in answers])
    right = np.array([one.label == t.get(one.rank) for one, t in zip(answers, truth, strict=True)])
    figures["the finest sure rank"] = {
        "coverage": float(sure.mean()), "accuracy_of_sure": float(right[sure].mean()) if sure.any() else None
    }  # fmt: skip
    return figures


def _top(answers: Any, truth: Any, rank: str) -> tuple[Any, Any]:
    best = [next(vote.labels[0] for vote in one.ranks if vote.rank == rank) for one in answers]
    right = np.array([one.label == labels[rank] for one, labels in zip(best, truth, strict=True)])
    return np.array([one.confidence for one in best]), right
