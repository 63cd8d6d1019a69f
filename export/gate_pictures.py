"""Pictures that variants are calibrated on and compared by: some of a folder, spread evenly, read as a server would."""

# N pictures, S side in pixels.

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.errors import PictureError, SourceError
from encoder.manifest import Preprocessing
from encoder.picture_files import folder_label, list_pictures
from encoder.preprocessing import decode_picture, preprocess, read_picture


@dataclass(frozen=True)
class GatePictures:
    """Decoded pictures of one folder.

    Attributes:
        names: of the files, relative to the folder.
        files: their bytes.
        pixels_NSS3: preprocessed, uint8.
        labels: of the sub-folders; None at the top.
    """

    names: list[str]
    files: list[bytes]
    pixels_NSS3: NDArray[np.uint8]
    labels: list[str | None]

    @property
    def num_labels(self) -> int:
        """Different labels."""
        return len({label for label in self.labels if label is not None})


def read_gate_pictures(folder: Path, preprocessing: Preprocessing, most: int, why: str) -> GatePictures:
    """Up to `most` decodable pictures of a folder, spread evenly over it; those that cannot be decoded are passed over.

    Args:
        folder: of pictures.
        preprocessing: of the encoder.
        most: how many.
        why: what they are for and the flag that names them, for the error.

    Raises:
        SourceError: there is none.
    """
    try:
        paths = list_pictures(folder)
    except SourceError as error:
        raise SourceError(f"no pictures for {why}: {error}") from error
    step = max(1.0, len(paths) / most)
    chosen = [paths[int(number * step)] for number in range(min(most, len(paths)))]

    def read(path: Path) -> tuple[Path, bytes, NDArray[np.uint8]] | None:
        try:
            data = read_picture(path)
            picture = decode_picture(data, min_side_wanted=preprocessing.image_size)
        except PictureError:
            return None  # training and indexing report it; here any picture will do
        return path, data, preprocess(picture, preprocessing)

    with ThreadPoolExecutor() as pool:
        found = [one for one in pool.map(read, chosen) if one is not None]
        if not found:
            found = [one for one in pool.map(read, paths) if one is not None][:most]
    if not found:
        raise SourceError(f"no pictures for {why}: none of the {len(paths)} pictures of {folder} can be decoded")
    return GatePictures(
        names=[path.relative_to(folder).as_posix() for path, _, _ in found],
        files=[data for _, data, _ in found],
        pixels_NSS3=np.stack([pixels for _, _, pixels in found]),
        labels=[folder_label(folder, path) for path, _, _ in found],
    )
