"""The other hand-made baseline: histograms of oriented gradients (Dalal & Triggs, CVPR 2005), alone or with colour.

Cells of 8 x 8 pixels, 9 unsigned orientations, blocks of 2 x 2 cells a cell apart, L2-hys. A pixel votes, by the
length of its gradient, for the two orientations next to its own. Unlike the paper, it votes for its own cell alone and
not also for the neighbouring ones, and grey levels are taken as they are.
"""

# H, W height and width in pixels, C cells a side, K blocks a side, D length of the descriptor.

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoder.histogram import color_histogram
from encoder.retrieval_metrics import unit

SIDE = 96
CELL = 8
ORIENTATIONS = 9
BLOCK = 2
# No number of a block is above this after the first normalisation (the paper's "hys").
CLIP = 0.2
EPSILON = 1e-5


def hog(grey_HW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Oriented gradients of a grey picture.

    Args:
        grey_HW: uint8, shape (H, W), both multiples of CELL and at least BLOCK cells.

    Returns:
        Blocks row by row, each with its cells row by row, each with its orientations; float32, shape (D,).

    Raises:
        ValueError: the sides are no such multiples.
    """
    height, width = grey_HW.shape
    if height % CELL or width % CELL or min(height, width) < BLOCK * CELL:
        raise ValueError(f"picture of {height} x {width}, expected multiples of {CELL}, at least {BLOCK * CELL}")
    cells_CCO = _cells(grey_HW.astype(np.float64) / 255)
    blocks_KKOBB = np.lib.stride_tricks.sliding_window_view(cells_CCO, (BLOCK, BLOCK), axis=(0, 1))
    blocks_KKD = blocks_KKOBB.transpose(0, 1, 3, 4, 2).reshape(*blocks_KKOBB.shape[:2], -1)
    blocks_KKD = _unit_blocks(np.minimum(_unit_blocks(blocks_KKD), CLIP))
    return blocks_KKD.reshape(-1).astype(np.float32)


def hog_of_square(square_SS3: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Oriented gradients of a picture's centre square, whose luminance is taken.

    Args:
        square_SS3: RGB, uint8, shape (SIDE, SIDE, 3).
    """
    return hog(np.asarray(Image.fromarray(square_SS3).convert("L")))


def hog_and_color(square_SS3: NDArray[np.uint8], image_HW3: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Both baselines joined, of equal weight: a dot product is the mean of the two cosines.

    Args:
        square_SS3: the picture's centre square, RGB, uint8, shape (SIDE, SIDE, 3).
        image_HW3: the whole picture, RGB, uint8, shape (H, W, 3).

    Returns:
        float32, of length 1 (of sqrt(1/2) where the square has no edge at all).
    """
    parts = [unit(one[None])[0] for one in (hog_of_square(square_SS3), color_histogram(image_HW3))]
    return np.concatenate(parts) * np.float32(0.5**0.5)


def _cells(grey_HW: NDArray[np.float64]) -> NDArray[np.float64]:
    """Votes of each cell, shape (C, C, ORIENTATIONS)."""
    height, width = grey_HW.shape
    padded = np.pad(grey_HW, 1, mode="edge")
    across_HW = padded[1:-1, 2:] - padded[1:-1, :-2]
    down_HW = padded[2:, 1:-1] - padded[:-2, 1:-1]
    length_HW = np.hypot(across_HW, down_HW)
    # Orientation k is centred on (k + 1/2) x 20 degrees.
    place_HW = np.mod(np.arctan2(down_HW, across_HW), np.pi) / np.pi * ORIENTATIONS - 0.5
    below_HW = np.floor(place_HW)
    share_HW = place_HW - below_HW
    cells_across = width // CELL
    cell_HW = (np.arange(height) // CELL)[:, None] * cells_across + np.arange(width) // CELL
    votes = np.zeros((height // CELL) * cells_across * ORIENTATIONS)
    for orientation_HW, weight_HW in ((below_HW, 1 - share_HW), (below_HW + 1, share_HW)):
        bin_HW = cell_HW * ORIENTATIONS + np.mod(orientation_HW, ORIENTATIONS).astype(np.int64)
        votes += np.bincount(bin_HW.ravel(), (length_HW * weight_HW).ravel(), minlength=len(votes))
    return votes.reshape(height // CELL, cells_across, ORIENTATIONS)


def _unit_blocks(blocks_KKD: NDArray[np.float64]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.sqrt((blocks_KKD**2).sum(axis=-1, keepdims=True) + EPSILON**2)
    return blocks_KKD / norms
