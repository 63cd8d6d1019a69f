"""Small pictures, drawn."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

LABELS = {"red": (200, 50, 40), "green": (50, 180, 60), "blue": (40, 70, 210)}


def drawn(colour: tuple[int, int, int], seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A noisy field of one colour with a dark square whose place depends on the seed."""
    rng = np.random.default_rng([seed, *colour])
    pixels = np.array(colour) + rng.normal(0, 10, (size[1], size[0], 3))
    left, top = rng.integers(0, size[0] - 16), rng.integers(0, size[1] - 16)
    pixels[top : top + 14, left : left + 14] = 25
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def file_bytes(picture: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    """The picture as the bytes of a file."""
    buffer = BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def write_picture_folder(folder: Path, *, per_label: int = 4) -> Path:
    """One sub-folder a label, `per_label` pictures each."""
    for label, colour in LABELS.items():
        (folder / label).mkdir(parents=True)
        for seed in range(per_label):
            (folder / label / f"{seed}.png").write_bytes(file_bytes(drawn(colour, seed)))
    return folder
