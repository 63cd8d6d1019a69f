"""The hand-made baseline that every encoder has to beat: a colour histogram."""

import numpy as np
from numpy.typing import NDArray

BINS = 6


def color_histogram(image_HW3: NDArray[np.uint8]) -> NDArray[np.float32]:
    """6 x 6 x 6 RGB histogram, square-rooted, of length 1, so that a dot product is the Bhattacharyya coefficient.

    Args:
        image_HW3: RGB, uint8, shape (H, W, 3).

    Returns:
        float32, shape (216,).
    """
    bins_N3 = (image_HW3.reshape(-1, 3).astype(np.int32) * BINS) >> 8
    cell_N = (bins_N3[:, 0] * BINS + bins_N3[:, 1]) * BINS + bins_N3[:, 2]
    counts = np.bincount(cell_N, minlength=BINS**3).astype(np.float64)
    histogram: NDArray[np.float32] = np.sqrt(counts / counts.sum()).astype(np.float32)
    return histogram
