"""A small catalogue for server tests: drawn pictures, indexed by the command that a person would use."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

# Every id has a slash in it, one a space, one what a URL must escape.
COLOURS = {
    "Rubra/rosso": (200, 40, 40),
    "Rubra/pink rose": (230, 120, 140),
    "Viridis/lime": (120, 210, 60),
    "Caerula/sky?#%": (70, 150, 230),
}
SPECIMENS = 4


def drawn_picture(colour: tuple[int, int, int], seed: int, size: tuple[int, int] = (80, 60)) -> Image.Image:
    """A noisy patch of one colour with a dark mark whose place depends on the seed."""
    generator = np.random.default_rng(seed)
    pixels = np.array(colour) + generator.normal(0, 12, (size[1], size[0], 3))
    left, top = generator.integers(5, size[0] - 20), generator.integers(5, size[1] - 20)
    pixels[top : top + 12, left : left + 12] = 30
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, file_format: str = "PNG") -> bytes:
    buffer = BytesIO()
    image.save(buffer, file_format)
    return buffer.getvalue()


def build_served_catalogue(folder: Path, bundle: Path) -> Path:
    """Draw, index, and return the folder of the catalogue."""
    for row, (label, colour) in enumerate(COLOURS.items()):
        (folder / "photos" / label).mkdir(parents=True)
        for specimen in range(SPECIMENS):
            path = folder / "photos" / label / f"{specimen}.png"
            path.write_bytes(encoded(drawn_picture(colour, 10 * row + specimen)))
    catalogue = folder / "catalogue"
    subprocess.run(
        [
            *(sys.executable, "-m", "lodisc", "index", "build", str(catalogue)),
            *("--images", str(folder / "photos"), "--bundle", str(bundle)),
            *("--ranks", "species,genus", "--quiet"),
        ],
        cwd=Path(__file__).parents[2],
        check=True,
        timeout=120,
    )
    return catalogue
