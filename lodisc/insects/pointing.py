"""Do the pivotal patches lie on the marks that decide? Against as many patches drawn at random.

The demo knows where its marks are, so here alone it can be measured whether LoDisc looks where it should. A mark counts
as covered if more than half of its area lies in pivotal patches.
"""

# N pictures, P patches, M marks of a picture, D points of a disc.

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess, read_picture
from lodisc.insects.specimens import MARKS_NAME

KEEP_RATIO = 0.30
NUM_RANDOM = 100


@dataclass(frozen=True)
class Mark:
    """A disc in a picture, in pixels of the file."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Pointing:
    """How well patches cover marks.

    Attributes:
        pictures: share of the pictures whose every visible mark is covered, in [0, 1].
        marks: share of the marks that are covered.
        area: mean share of a mark's area that is covered; what random patches cover is their share of all patches.
        patches: mean number of patches.
    """

    pictures: float
    marks: float
    area: float
    patches: float


def read_marks(specimens: Path, part: str) -> dict[str, list[Mark]]:
    """The visible marks of each picture of train/ or test/, by its path relative to `specimens`."""
    marks = defaultdict(list)
    with (specimens / MARKS_NAME).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["visible"] == "1" and row["path"].startswith(f"{part}/"):
                marks[row["path"]].append(Mark(float(row["x"]), float(row["y"]), float(row["radius"])))
    return dict(marks)


def measure_pointing(specimens: Path, bundles: dict[str, Path], *, part: str = "test") -> dict[str, Pointing]:
    """Measure encoders on the folder of `write_specimens`.

    Args:
        specimens: with train/, test/ and marks.csv.
        bundles: what to measure, by the name to report it under; the same patch grid and preprocessing in all.
        part: train or test.

    Returns:
        Pointing by name; "random patches" keep as many patches as the first bundle, mean over many draws.
    """
    marks = read_marks(specimens, part)
    found = {}
    for name, path in bundles.items():
        encoder = ImageEncoder(Bundle.open(path))
        shares, masks = [], []
        for relative, of_picture in marks.items():
            picture = decode_picture(read_picture(specimens / relative))
            preprocessing = encoder.manifest.preprocessing
            scores_1P = encoder.encode(preprocess(picture, preprocessing)[None], attention=True).attention_BP
            assert scores_1P is not None
            masks.append(pivotal_patches(scores_1P[0]))
            grid = encoder.manifest.patch_grid or (1, 1)
            shares.append(mark_shares(of_picture, preprocessing.crop_box(*picture.size), grid))
        found[name] = score_pointing(shares, masks)
        if "random patches" not in found:
            random = _random_pointing(shares, masks)
    return {**found, "random patches": random}


def pivotal_patches(scores_P: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The patches that score strictly above the one at position int(0.30 * P) of the descending sort, bool, (P,)."""
    rank = int(KEEP_RATIO * len(scores_P))
    above: NDArray[np.bool_] = scores_P > np.sort(scores_P)[::-1][rank]
    return above


def mark_shares(
    marks: Sequence[Mark], crop_box: tuple[float, float, float, float], grid: tuple[int, int]
) -> NDArray[np.float64]:
    """How each mark's area is spread over the patches of the view, shape (M, P); what the crop cuts off is in none.

    Args:
        marks: in pixels of the file.
        crop_box: left, top, right and bottom of what the encoder sees, in pixels of the file.
        grid: rows and columns of patches.
    """
    rows, columns = grid
    left, top, right, bottom = crop_box
    disc_D2 = _points_of_a_disc()
    shares = np.zeros((len(marks), rows * columns))
    for number, mark in enumerate(marks):
        column_D = np.floor((mark.x + disc_D2[:, 0] * mark.radius - left) / (right - left) * columns).astype(int)
        row_D = np.floor((mark.y + disc_D2[:, 1] * mark.radius - top) / (bottom - top) * rows).astype(int)
        inside_D = (column_D >= 0) & (column_D < columns) & (row_D >= 0) & (row_D < rows)
        np.add.at(shares[number], (row_D * columns + column_D)[inside_D], 1 / len(disc_D2))
    return shares


def _points_of_a_disc(points_across: int = 40) -> NDArray[np.float64]:
    """A regular grid of points in the unit disc, shape (D, 2)."""
    line = (np.arange(points_across) + 0.5) / points_across * 2 - 1
    square = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    disc_D2: NDArray[np.float64] = square[np.square(square).sum(axis=1) <= 1]
    return disc_D2


def score_pointing(shares: Sequence[NDArray[np.float64]], masks: Sequence[NDArray[np.bool_]]) -> Pointing:
    """Score masks against marks.

    Args:
        shares: of each picture, as `mark_shares` gives them, shape (M, P).
        masks: of each picture, True where a patch is kept, shape (P,).
    """
    covered = [shares_MP[:, mask_P].sum(axis=1) for shares_MP, mask_P in zip(shares, masks, strict=True)]
    area = np.concatenate(covered)
    return Pointing(
        pictures=float(np.mean([bool((of_picture > 0.5).all()) for of_picture in covered])),
        marks=float((area > 0.5).mean()),
        area=float(area.mean()),
        patches=float(np.mean([mask_P.sum() for mask_P in masks])),
    )


def _random_pointing(shares: Sequence[NDArray[np.float64]], masks: Sequence[NDArray[np.bool_]]) -> Pointing:
    """Mean over draws of as many patches a picture as `masks` keep."""
    rng = np.random.default_rng(0)
    drawn = [score_pointing(shares, [rng.permutation(mask_P) for mask_P in masks]) for _ in range(NUM_RANDOM)]
    return Pointing(*(float(np.mean([getattr(one, name) for one in drawn])) for name in Pointing.__annotations__))
