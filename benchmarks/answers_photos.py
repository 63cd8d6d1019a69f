"""Two and three photographs of one class, none spoilt, or one of them blurred or of another class: weighed and mean."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from answers_sets import LabelledSet
from numpy.typing import NDArray
from PIL import ImageFilter

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess, read_picture
from index.answers.asking import ask
from index.answers.calibrate import calibrate_catalogue
from index.answers.calibration import Calibration
from index.answers.fusion import fuse
from index.answers.reliability import calibration_error, chance_error
from index.answers.vote import predict
from index.catalogue import Catalogue
from index.open_catalogue import open_catalogue

BLUR = 0.04  # sigma, of the shorter side
MOST_GROUPS = 250
DRAWS = 4  # of groups, for the error of the confidence: there are few test pictures of a class


def measure(each: LabelledSet, bundle: Path) -> dict[str, Any]:
    """Share of right answers at the finest rank, of the vote and of the first match; the error of the confidence."""
    generator = np.random.default_rng(0)
    names = np.array([labels[each.ranks[0]] for labels in each.test.labels])
    figures: dict[str, Any] = {}
    with open_catalogue(each.catalogue) as catalogue:
        calibration = calibrate_catalogue(catalogue, quiet=True)
        for num in (1, 2, 3):
            groups = _groups(names, num, generator)[:MOST_GROUPS]
            blurred_GD = _blurred(bundle, [each.test.paths[group[0]] for group in groups])
            for spoilt in ("none", "blurred", "another"):
                photographs = [each.test.vectors_ND[group].copy() for group in groups]
                for number, photos_ND in enumerate(photographs):
                    if spoilt == "blurred":
                        photos_ND[0] = blurred_GD[number]
                    elif spoilt == "another":
                        photos_ND[0] = each.test.vectors_ND[generator.integers(len(names))]
                truth = [names[group[-1]] for group in groups]
                figures[f"{num} photographs, {spoilt} spoilt"] = _right(
                    catalogue, calibration, photographs, truth, each.ranks
                )
        figures["calibration error"] = {
            f"{num} photographs": _honesty(catalogue, calibration, each, names, num, generator) for num in (2, 3)
        }
    return figures


def _honesty(
    catalogue: Catalogue,
    calibration: Calibration,
    each: LabelledSet,
    names: NDArray[np.str_],
    num: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """The calibration error of several photographs, by their own map and by that of one, at the finest rank."""
    groups = [group for _ in range(DRAWS) for group in _groups(names, num, generator)[:MOST_GROUPS]]
    alone = replace(calibration, ranks={rank: replace(one, several={}) for rank, one in calibration.ranks.items()})
    found = [ask(catalogue, each.test.vectors_ND[group], k=1, calibration=calibration) for group in groups]
    figures: dict[str, Any] = {"groups": len(groups)}
    for name, by in (("ece", calibration), ("ece_as_one", alone)):
        best = [predict(one.photographs, one.weights, each.ranks, by).ranks[0].labels[0] for one in found]
        confidence = np.array([one.confidence for one in best])
        right = np.array([one.label == names[group[0]] for one, group in zip(best, groups, strict=True)])
        figures[name] = round(calibration_error(confidence, right), 4)
        figures[f"{name}_by_chance"] = round(chance_error(confidence), 4)
    return figures


def _right(
    catalogue: Catalogue, calibration: Calibration, photographs: Any, truth: list[str], ranks: tuple[str, ...]
) -> dict[str, Any]:
    right: dict[str, list[bool]] = {"vote": [], "vote_of_mean": [], "first": [], "first_of_mean": []}
    for photos_ND, name in zip(photographs, truth, strict=True):
        mean_D = fuse(photos_ND, [1 / len(photos_ND)] * len(photos_ND))
        for suffix, asked_ND in (("", photos_ND), ("_of_mean", mean_D[None])):
            found = ask(catalogue, asked_ND, k=1, calibration=calibration)
            best = predict(found.photographs, found.weights, ranks, calibration).ranks[0].labels[0]
            right["vote" + suffix].append(best.label == name)
            right["first" + suffix].append(found.matches[0].labels[ranks[0]] == name)
    return {"groups": len(truth), **{name: round(float(np.mean(values)), 4) for name, values in right.items()}}


def _groups(names: NDArray[Any], num: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    groups = []
    for name in np.unique(names):
        of_class = generator.permutation(np.flatnonzero(names == name))
        groups += [of_class[start : start + num] for start in range(0, len(of_class) - num + 1, num)]
    return [groups[number] for number in generator.permutation(len(groups))]


def _blurred(bundle: Path, paths: list[Path]) -> NDArray[np.float32]:
    encoder = ImageEncoder(Bundle.open(bundle))
    preprocessing = encoder.manifest.preprocessing
    pixels = []
    for path in paths:
        picture = decode_picture(read_picture(path), min_side_wanted=preprocessing.image_size)
        picture = picture.filter(ImageFilter.GaussianBlur(BLUR * min(picture.size)))
        pixels.append(preprocess(picture, preprocessing))
    return np.concatenate(
        [encoder.encode(np.stack(pixels[start : start + 64])).embedding_BD for start in range(0, len(pixels), 64)]
    )
