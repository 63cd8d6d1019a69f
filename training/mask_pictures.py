"""Pictures with their pivotal patches drawn on them: where the local branch looks."""

# B pictures, S side in pixels, P patches, G patches on a side, H and W of the sheet in pixels.

import numpy as np
from numpy.typing import NDArray

MARGIN_PX = 4
# What is left of the brightness of a patch that is not pivotal.
DIMMED = 0.2


def mask_sheet(pixels_BSS3: NDArray[np.uint8], mask_BP: NDArray[np.bool_], *, columns: int = 8) -> NDArray[np.uint8]:
    """A sheet of pictures, and below each the same picture with all but its pivotal patches dimmed.

    Args:
        pixels_BSS3: RGB, uint8, shape (B, S, S, 3).
        mask_BP: True where a patch is pivotal, shape (B, P), P a square number of patches that tile the picture.
        columns: pictures in a row of the sheet.

    Returns:
        The sheet, uint8, shape (H, W, 3), white between the pictures.
    """
    num, side = pixels_BSS3.shape[:2]
    grid = round(mask_BP.shape[1] ** 0.5)
    mask_BGG = mask_BP.reshape(num, grid, grid)
    mask_BSS = mask_BGG.repeat(side // grid, axis=1).repeat(side // grid, axis=2)
    dimmed_BSS3 = np.where(mask_BSS[..., None], pixels_BSS3, (pixels_BSS3 * DIMMED).astype(np.uint8))
    columns = min(columns, num)
    rows = -(-num // columns)
    step, pair = side + MARGIN_PX, 2 * side + 2 * MARGIN_PX
    sheet = np.full((rows * pair, columns * step, 3), 255, dtype=np.uint8)
    for number in range(num):
        top, left = number // columns * pair, number % columns * step
        sheet[top : top + side, left : left + side] = pixels_BSS3[number]
        sheet[top + side : top + 2 * side, left : left + side] = dimmed_BSS3[number]
    return sheet
