"""The training pictures, decoded once: a memory-mapped array of small squares.

Decoding JPEGs is paid once a run and not every epoch. A picture is squeezed to a square and its true aspect ratio is
kept beside it; the random crop undoes the squeeze. Labels are never looked at here.
"""

# N pictures, Q side of a stored picture.

import hashlib
import json
import logging
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoder.errors import ConfigError, PictureError, SourceError, TrainingError
from training.layouts import Listing, decode_listed

logger = logging.getLogger(__name__)

# Pictures are stored half as large again as a view, so that a crop of 45 % of the area keeps its detail.
STORED_OVER_VIEW = 1.5
# Unreadable pictures that are named one by one on the terminal.
NUM_NAMED = 10


@dataclass(frozen=True)
class PictureStore:
    """Decoded pictures.

    Attributes:
        pixels_NQQ3: RGB, uint8, memory-mapped read-only.
        aspect_N: width / height before squeezing, float32.
        paths: where each came from, relative to the data folder.
        rejected: path and reason of each picture that could not be decoded.
    """

    pixels_NQQ3: NDArray[np.uint8]
    aspect_N: NDArray[np.float32]
    paths: list[str]
    rejected: list[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def digest(self) -> str:
        """16 hex digits, the same for pictures of the same names in the same order."""
        return hashlib.sha256(json.dumps(self.paths).encode()).hexdigest()[:16]


def stored_side(image_size: int) -> int:
    """Side of a stored picture for views of `image_size` pixels."""
    return round(image_size * STORED_OVER_VIEW)


def open_picture_store(
    listing: Listing, data: Path, cache_dir: Path, image_size: int, *, max_unreadable: float = 1.0
) -> PictureStore:
    """Decode the pictures of a listing into `cache_dir`, or reuse what is there if the files are the same.

    Args:
        listing: the files.
        data: the folder that they are named relative to.
        cache_dir: where the array is kept.
        image_size: side of the views that will be drawn.
        max_unreadable: largest share of files that may fail to decode, in [0, 1].

    Raises:
        SourceError: fewer than two pictures can be decoded, or more than `max_unreadable` cannot.
        TrainingError: the decoded pictures cannot be written.
        ConfigError: there can be no such folder.
    """
    files = listing.paths
    side = stored_side(image_size)
    fingerprint = {"side": side, "cut_bottom_px": listing.cut_bottom_px, "files": _stamps(files, data)}
    index_path, pixels_path = cache_dir / "pictures.json", cache_dir / "pictures.npy"
    if index_path.is_file() and pixels_path.is_file():
        index = json.loads(index_path.read_text(encoding="utf-8"))
        if index["fingerprint"] == fingerprint:
            return _load(index, pixels_path)
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"folder {cache_dir} cannot be made: {error.strerror or error}; choose another --out"
        ) from error
    index_path.unlink(missing_ok=True)
    index = {"fingerprint": fingerprint, **_decode_all(listing, data, pixels_path, side)}
    if len(index["paths"]) < 2:
        raise SourceError(
            f"{data}: {len(index['paths'])} of {len(files)} pictures can be decoded; "
            "contrastive training needs at least 2"
        )
    if len(index["rejected"]) > max_unreadable * len(files):
        path, reason = index["rejected"][0]
        raise SourceError(
            f"{data}: {len(index['rejected'])} of {len(files)} pictures cannot be decoded "
            f"(the first: {path}: {reason}); mend or remove them, or allow more with --max-unreadable"
        )
    # Written last: an index beside the array says that the array is whole.
    partial = index_path.with_suffix(".partial")
    partial.write_text(json.dumps(index), encoding="utf-8")
    partial.replace(index_path)
    _report_unreadable(index["rejected"], index_path)
    return _load(index, pixels_path)


def _stamps(files: Sequence[Path], data: Path) -> list[list[str | int]]:
    """Name, size and time of change of each file: the same stamps mean the same pictures.

    Raises:
        SourceError: a file of the listing is not there.
    """
    try:
        return [[path.relative_to(data).as_posix(), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    except OSError as error:
        raise SourceError(f"picture {error.filename} cannot be read: {error.strerror or error}") from error


def _report_unreadable(rejected: list[tuple[str, str]], index_path: Path) -> None:
    """Name each unreadable picture once; of many, the first few and where the rest are listed."""
    for path, reason in rejected[:NUM_NAMED]:
        logger.warning("skipped %s: %s", path, reason)
    if len(rejected) > NUM_NAMED:
        logger.warning("skipped %d more; all are listed in %s", len(rejected) - NUM_NAMED, index_path)


def _decode_all(listing: Listing, data: Path, pixels_path: Path, side: int) -> dict[str, Any]:
    """Decode in threads (Pillow releases the interpreter lock) and write row by row, in the order of the listing.

    Written as a file and not through a memory map: a full disk is then an error and not a killed process.

    Raises:
        TrainingError: the file cannot be written.
    """
    files = listing.paths
    shape = (len(files), side, side, 3)
    paths: list[object] = []
    aspects: list[object] = []
    rejected: list[object] = []

    def decode(path: Path) -> tuple[NDArray[np.uint8], float] | PictureError:
        return _decode_square(path, side, listing.cut_bottom_px)

    try:
        with pixels_path.open("wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            num_header = file.tell()
            for path, result in zip(files, pool.map(decode, files), strict=True):
                relative = path.relative_to(data).as_posix()
                if isinstance(result, PictureError):
                    rejected.append([relative, str(result)])
                    continue
                square, aspect = result
                file.write(square.tobytes())
                paths.append(relative)
                aspects.append(aspect)
            file.truncate(num_header + math.prod(shape))  # the header counts the rejected too
    except OSError as error:
        pixels_path.unlink(missing_ok=True)
        raise TrainingError(
            f"the decoded pictures could not be written to {pixels_path}: {error.strerror or error}; they take "
            f"{math.prod(shape) / 2**20:.0f} MiB: free some space, or put --out on another disk"
        ) from error
    return {"paths": paths, "aspect": aspects, "rejected": rejected}


def _decode_square(path: Path, side: int, cut_bottom_px: int) -> tuple[NDArray[np.uint8], float] | PictureError:
    try:
        picture = decode_listed(path, cut_bottom_px, side)
    except PictureError as error:
        return error
    square = picture.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(square), picture.width / picture.height


def _load(index: dict[str, Any], pixels_path: Path) -> PictureStore:
    paths = [str(path) for path in index["paths"]]
    pixels = np.load(pixels_path, mmap_mode="r")[: len(paths)]
    rejected = [(str(path), str(reason)) for path, reason in index["rejected"]]
    return PictureStore(pixels, np.asarray(index["aspect"], dtype=np.float32), paths, rejected)
