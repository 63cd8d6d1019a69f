"""How much each pivotal patch of a picture settles its embedding: cover the patch, encode again, see how far it moves.

Patch scores say where the encoder looks; by this is measured what that decides. On the demo's specimens the patch that
moves the embedding most lies on a mark more often than the one with the highest score (benchmarks/answers_pointing.py).
It costs one picture more to encode a pivotal patch, so it is done for explanations alone.
"""

# S side in pixels, P pivotal patches, D embedding dim.

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from encoder.image_encoder import ImageEncoder
from index.answers.local_features import PivotalPatches, pivotal_patches_of

SURROUNDINGS = 0.75  # how far around a patch its cover is mixed from, in patches


def covered(pixels_SS3: NDArray[np.uint8], patches: PivotalPatches, grid: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture once for each pivotal patch, with that patch in the mean colour of what surrounds it.

    Returns:
        uint8, shape (P, S, S, 3).
    """
    side = len(pixels_SS3)
    height, width = side / grid[0], side / grid[1]
    covered_PSS3 = np.repeat(pixels_SS3[None], len(patches.positions_P), axis=0)
    for picture_SS3, position in zip(covered_PSS3, patches.positions_P.tolist(), strict=True):
        row, column = divmod(position, grid[1])
        rows = _span(row * height, (row + 1) * height, 0, side)
        columns = _span(column * width, (column + 1) * width, 0, side)
        around = (
            _span(row * height, (row + 1) * height, SURROUNDINGS * height, side),
            _span(column * width, (column + 1) * width, SURROUNDINGS * width, side),
        )
        inside_XY3, around_XY3 = pixels_SS3[rows, columns], pixels_SS3[around]
        num = around_XY3[..., 0].size - inside_XY3[..., 0].size
        total_3 = around_XY3.sum(axis=(0, 1), dtype=np.int64) - inside_XY3.sum(axis=(0, 1), dtype=np.int64)
        # A grid of one patch has no surroundings.
        picture_SS3[rows, columns] = np.rint(total_3 / num) if num else 127
    return covered_PSS3


def influence(embedding_D: NDArray[np.float32], covered_PD: NDArray[np.float32]) -> NDArray[np.float32]:
    """What share of the movement each covered patch brings, float32, shape (P,), sum 1; all the same where none does.

    Args:
        embedding_D: of the picture, of length 1.
        covered_PD: of the picture with each patch covered.
    """
    moved_P = np.maximum(1 - covered_PD @ embedding_D, 0)
    total = float(moved_P.sum())
    if not total > 0:
        return np.full(len(moved_P), 1 / max(1, len(moved_P)), np.float32)
    share_P: NDArray[np.float32] = (moved_P / total).astype(np.float32)
    return share_P


def with_influence(encoder: ImageEncoder, pixels_SS3: NDArray[np.uint8]) -> tuple[NDArray[np.float32], PivotalPatches]:
    """The embedding (D,) of a picture and its pivotal patches, with what each settles."""
    encoded = encoder.encode(pixels_SS3[None], attention=True, tokens=True)
    patches, grid = pivotal_patches_of(encoded)[0], encoder.manifest.patch_grid
    assert grid is not None  # an encoder with patch features has one
    covered_PD = encoder.encode(covered(pixels_SS3, patches, grid)).embedding_BD
    embedding_D = encoded.embedding_BD[0]
    return embedding_D, replace(patches, influence_P=influence(embedding_D, covered_PD))


def _span(low: float, high: float, margin: float, side: int) -> slice:
    return slice(max(0, round(low - margin)), min(side, round(high + margin)))
