"""The folders of published picture sets as they are unpacked: which pictures are for training, which for testing.

    folder           any folder; sub-folders are labels where labels are needed. It has no split: both are all of it
    cub200           CUB-200-2011: images.txt, image_class_labels.txt, classes.txt, train_test_split.txt, images/
    stanford_cars    Stanford Cars: cars_train/, cars_test/ and the .mat files of devkit/
    fgvc_aircraft    FGVC-Aircraft: data/images/, data/images_variant_{trainval,test}.txt; each picture carries a banner
    caltech101       Caltech-101: 101_ObjectCategories/; it has no official split, see `_caltech101`

Training without supervision asks for no labels, and then the files that hold them need not be there.
"""

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from encoder.errors import ConfigError, MissingExtraError, SourceError
from encoder.picture_files import folder_label, list_pictures
from encoder.preprocessing import decode_picture, read_picture

SPLITS = ("train", "test")
# Pixels at the bottom of every FGVC-Aircraft picture that name its photographer (the set's README says to remove them).
AIRCRAFT_BANNER_PX = 20
CALTECH_TRAIN_PER_CLASS = 30


@dataclass(frozen=True)
class Listing:
    """Picture files of one split.

    Attributes:
        paths: in an order that never changes.
        labels: one a path; None where there is none, or where no labels were asked for.
        cut_bottom_px: rows to cut from the bottom of each picture at its full size.
    """

    paths: list[Path]
    labels: list[str | None]
    cut_bottom_px: int = 0


def list_split(data: Path, layout: str = "folder", split: str = "train", *, labelled: bool = True) -> Listing:
    """List one split of a set.

    Args:
        data: the folder that the set unpacks to.
        layout: one of `LAYOUTS`.
        split: "train" or "test".
        labelled: also read the labels.

    Raises:
        SourceError: the folder is not laid out so; the message names the missing file.
        ConfigError: no such layout or split.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"layout is {layout!r}, expected one of {', '.join(LAYOUTS)}")
    if split not in SPLITS:
        raise ConfigError(f"split is {split!r}, expected one of {', '.join(SPLITS)}")
    if layout != "folder" and not data.is_dir():
        raise SourceError(f"{data} does not exist or is no folder; give the folder that {layout} unpacks to")
    listing = LAYOUTS[layout](data, split, labelled)
    if not listing.paths:
        raise SourceError(f"{data} lists no {split} pictures; expected a whole {layout} set")
    return listing


def decode_listed(path: Path, cut_bottom_px: int, min_side_wanted: int) -> Image.Image:
    """Decode one file of a listing to an upright RGB picture without its banner.

    Raises:
        PictureError: it cannot be decoded, or is no taller than the banner.
    """
    # A JPEG decoded at a fraction of its size would shrink the banner too, so then it is decoded whole.
    picture = decode_picture(read_picture(path), min_side_wanted=None if cut_bottom_px else min_side_wanted)
    if cut_bottom_px == 0:
        return picture
    return picture.crop((0, 0, picture.width, max(1, picture.height - cut_bottom_px)))


def _folder(data: Path, split: str, labelled: bool) -> Listing:
    paths = list_pictures(data)
    return Listing(paths, [folder_label(data, path) if labelled else None for path in paths])


def _cub200(data: Path, split: str, labelled: bool) -> Listing:
    files = _table(data / "images.txt")
    is_train = _table(data / "train_test_split.txt")
    wanted = {key for key, value in is_train.items() if (value == "1") == (split == "train")}
    keys = [key for key in files if key in wanted]
    labels: list[str | None] = [None] * len(keys)
    if labelled:
        classes, class_of = _table(data / "classes.txt"), _table(data / "image_class_labels.txt")
        labels = [_lookup(classes, class_of.get(key, "?"), data / "classes.txt") for key in keys]
    return Listing([data / "images" / files[key] for key in keys], labels)


def _fgvc_aircraft(data: Path, split: str, labelled: bool) -> Listing:
    root = data / "data" if (data / "data").is_dir() else data
    part = "trainval" if split == "train" else "test"
    variants = _table(root / f"images_variant_{part}.txt")
    paths = [root / "images" / f"{number}.jpg" for number in variants]
    return Listing(paths, [label if labelled else None for label in variants.values()], AIRCRAFT_BANNER_PX)


def _stanford_cars(data: Path, split: str, labelled: bool) -> Listing:
    paths = list_pictures(data / f"cars_{split}")
    if not labelled:
        return Listing(paths, [None] * len(paths))
    try:
        label_of, labels_path = importlib.import_module("training.cars_labels").read_cars_labels(data, split)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the labels of stanford_cars are MATLAB files, which need {error.name}: pip install -e '.[train]'"
        ) from error
    return Listing(paths, [_lookup(label_of, file.name, labels_path) for file in paths])


def _caltech101(data: Path, split: str, labelled: bool) -> Listing:
    """The set has no official split: of each class the 30 files whose hashed names come first are for training.

    30 a class is what is usually trained on; the choice by hash is ours, the same on every machine. The clutter of
    BACKGROUND_Google is no class and is left out.
    """
    root = data / "101_ObjectCategories" if (data / "101_ObjectCategories").is_dir() else data
    if not (root / "accordion").is_dir():
        raise SourceError(f"{root / 'accordion'} does not exist; give the folder that holds 101_ObjectCategories")
    by_class: dict[str, list[Path]] = {}
    for path in list_pictures(root):
        label = folder_label(root, path)
        if label is not None and label != "BACKGROUND_Google":
            by_class.setdefault(label, []).append(path)
    chosen: list[tuple[Path, str]] = []
    for label, paths in by_class.items():
        hashed = sorted(paths, key=lambda path: hashlib.sha256(f"{label}/{path.name}".encode()).digest())
        first = set(hashed[:CALTECH_TRAIN_PER_CLASS])
        chosen += [(path, label) for path in paths if (path in first) == (split == "train")]
    return Listing([path for path, _ in chosen], [label if labelled else None for _, label in chosen])


def _table(path: Path) -> dict[str, str]:
    """A text file of `key value` lines, in its order."""
    if not path.is_file():
        raise SourceError(f"{path} does not exist; the set is not unpacked as it is published")
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise SourceError(f"{path} has a line that is not two columns")
    return {key: value.strip() for key, value in pairs}


def _lookup(table: dict[str, str], key: str, path: Path) -> str:
    if key not in table:
        raise SourceError(f"{path} has no entry for {key}; the set is not whole")
    return table[key]


LAYOUTS: dict[str, Callable[[Path, str, bool], Listing]] = {
    "folder": _folder,
    "cub200": _cub200,
    "stanford_cars": _stanford_cars,
    "fgvc_aircraft": _fgvc_aircraft,
    "caltech101": _caltech101,
}
