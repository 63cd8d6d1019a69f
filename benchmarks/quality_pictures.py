"""Labelled photographs as arrays: what was made of each file is kept, so that many runs share it."""

# N pictures, S side in pixels, D dim of a hand-made descriptor.

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoder.histogram import color_histogram
from encoder.hog import SIDE, hog_and_color
from encoder.manifest import Preprocessing
from encoder.picture_files import folder_label, list_pictures
from encoder.preprocessing import decode_picture, preprocess, read_picture
from training.embedding import serving_preprocessing

# Leave-one-out means nothing where several photographs show one shelf: there, test pictures query the train pictures.
GALLERY_IS_TRAIN = {"grocery"}
# Sides are at least this in the sets; a histogram is of the whole picture.
DECODED_SIDE = 256


class Split:
    """The labelled pictures of one folder.

    Args:
        folder: one sub-folder a label.
        cache: where what was made of them is kept, by name, size and time of change of the files.
        threads: that decode.
    """

    def __init__(self, folder: Path, cache: Path, threads: int) -> None:
        self.folder, self.cache, self.threads = folder, cache, threads
        self.paths = [path for path in list_pictures(folder) if folder_label(folder, path)]
        self.labels = [str(folder_label(folder, path)) for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def pixels(self, preprocessing: Preprocessing) -> NDArray[np.uint8]:
        """Squares as a server would make them, uint8, shape (N, S, S, 3)."""
        name = f"pixels-{json.dumps(asdict(preprocessing))}"
        return self._kept(name, lambda picture: preprocess(picture, preprocessing))

    def histograms(self) -> NDArray[np.float32]:
        """The colour histogram, shape (N, D)."""
        return self._kept("histogram", lambda picture: color_histogram(np.asarray(picture)))

    def gradients_and_color(self) -> NDArray[np.float32]:
        """HOG of the centre square and the colour histogram, shape (N, D)."""
        square = serving_preprocessing(SIDE)
        return self._kept(
            "hog", lambda picture: hog_and_color(np.asarray(preprocess(picture, square)), np.asarray(picture))
        )

    def _kept(self, name: str, make: Callable[[Image.Image], NDArray[Any]]) -> NDArray[Any]:
        stamps = [[path.relative_to(self.folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns]
                  for path in self.paths]  # fmt: skip
        digest = hashlib.sha256(json.dumps([str(self.folder.resolve()), name, stamps]).encode()).hexdigest()
        path = self.cache / f"{digest[:24]}.npy"
        if not path.is_file():
            self.cache.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            self._write(partial, make)
            partial.replace(path)
        kept: NDArray[Any] = np.load(path, mmap_mode="r")
        return kept

    def _write(self, path: Path, make: Callable[[Image.Image], NDArray[Any]]) -> None:
        def made(file: Path) -> NDArray[Any]:
            return make(decode_picture(read_picture(file), min_side_wanted=DECODED_SIDE))

        first = made(self.paths[0])
        rows = np.lib.format.open_memmap(path, "w+", first.dtype, (len(self.paths), *first.shape))
        with ThreadPoolExecutor(self.threads) as pool:
            for number, row in enumerate(pool.map(made, self.paths)):
                rows[number] = row
        rows.flush()


@dataclass(frozen=True)
class PhotographSet:
    """A set: what is asked, what may be learnt from, and what is searched."""

    name: str
    train: Split
    test: Split
    gallery_is_train: bool

    @classmethod
    def open(cls, folder: Path, cache: Path, threads: int) -> "PhotographSet":
        """A set in a folder with train/ and test/."""
        splits = [Split(folder / split, cache, threads) for split in ("train", "test")]
        return cls(folder.name, splits[0], splits[1], folder.name in GALLERY_IS_TRAIN)

    @property
    def protocol(self) -> str:
        """How retrieval is scored."""
        return "test queries, train gallery" if self.gallery_is_train else "leave one out in test"


def require_a_batch(sets: Sequence[PhotographSet], batch_size: int) -> None:
    """End the program before any work where a set has too few pictures to train on."""
    small = [f"{each.name} ({len(each.train)})" for each in sets if len(each.train) < batch_size]
    if small:
        raise SystemExit(
            f"sets with fewer training pictures than a batch of {batch_size}: {', '.join(small)}; choose others"
        )
