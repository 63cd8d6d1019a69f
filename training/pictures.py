"""The training pictures, decoded once: a memory-mapped array of small squares.

Decoding JPEGs is paid once a run and not every epoch. A picture is squeezed to a square and its true aspect ratio is
kept beside it; the random crop undoes the squeeze. Labels are never looked at here.
"""

# N pictures, Q side of a stored picture.

import json
import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoder.errors import PictureError, SourceError
from encoder.picture_files import list_pictures
from encoder.preprocessing import decode_picture, read_picture

logger = logging.getLogger(__name__)

# Pictures are stored half as large again as a view, so that a crop of 45 % of the area keeps its detail.
STORED_OVER_VIEW = 1.5


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


def stored_side(image_size: int) -> int:
    """Side of a stored picture for views of `image_size` pixels."""
    return round(image_size * STORED_OVER_VIEW)


def open_picture_store(data: Path, cache_dir: Path, image_size: int) -> PictureStore:
    """Decode every picture below `data` into `cache_dir`, or reuse what is there if the files are the same.

    Raises:
        SourceError: the folder is missing or empty, or fewer than two pictures can be decoded.
    """
    files = list_pictures(data)
    side = stored_side(image_size)
    fingerprint = {
        "side": side,
        "files": [[path.relative_to(data).as_posix(), path.stat().st_size, path.stat().st_mtime_ns] for path in files],
    }
    index_path, pixels_path = cache_dir / "pictures.json", cache_dir / "pictures.npy"
    if index_path.is_file() and pixels_path.is_file():
        index = json.loads(index_path.read_text(encoding="utf-8"))
        if index["fingerprint"] == fingerprint:
            return _load(index, pixels_path)
    cache_dir.mkdir(parents=True, exist_ok=True)
    index_path.unlink(missing_ok=True)
    index = {"fingerprint": fingerprint, **_decode_all(files, data, pixels_path, side)}
    for path, reason in index["rejected"]:
        logger.warning("skipped %s: %s", path, reason)
    if len(index["paths"]) < 2:
        raise SourceError(
            f"{data}: {len(index['paths'])} of {len(files)} pictures can be decoded; "
            "contrastive training needs at least 2"
        )
    # Written last: an index beside the array says that the array is whole.
    partial = index_path.with_suffix(".partial")
    partial.write_text(json.dumps(index), encoding="utf-8")
    partial.replace(index_path)
    return _load(index, pixels_path)


def _decode_all(files: Iterable[Path], data: Path, pixels_path: Path, side: int) -> dict[str, Any]:
    """Decode in threads (Pillow releases the interpreter lock) and write row by row, in the order of `files`."""
    files = list(files)
    pixels = np.lib.format.open_memmap(pixels_path, mode="w+", dtype=np.uint8, shape=(len(files), side, side, 3))
    paths: list[object] = []
    aspects: list[object] = []
    rejected: list[object] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, result in zip(files, pool.map(lambda path: _decode_square(path, side), files), strict=True):
            relative = path.relative_to(data).as_posix()
            if isinstance(result, PictureError):
                rejected.append([relative, str(result)])
                continue
            square, aspect = result
            pixels[len(paths)] = square
            paths.append(relative)
            aspects.append(aspect)
    pixels.flush()
    return {"paths": paths, "aspect": aspects, "rejected": rejected}


def _decode_square(path: Path, side: int) -> tuple[NDArray[np.uint8], float] | PictureError:
    try:
        picture = decode_picture(read_picture(path), min_side_wanted=side)
    except PictureError as error:
        return error
    square = picture.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(square), picture.width / picture.height


def _load(index: dict[str, Any], pixels_path: Path) -> PictureStore:
    paths = [str(path) for path in index["paths"]]
    pixels = np.load(pixels_path, mmap_mode="r")[: len(paths)]
    rejected = [(str(path), str(reason)) for path, reason in index["rejected"]]
    return PictureStore(pixels, np.asarray(index["aspect"], dtype=np.float32), paths, rejected)
