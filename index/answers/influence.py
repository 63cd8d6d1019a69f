"""How much each pivotal patch of a picture settles its embedding: blur the patch, encode again, see how far it moves.

Patch scores say where the encoder looks; by this is measured what that decides. On the demo's specimens the patch that
moves the embedding most lies on a mark more often than the one with the highest score (benchmarks/answers_pointing.py).
It costs one picture more to encode a pivotal patch, so it is done for explanations alone.
"""

# S side in pixels, P pivotal patches, D embedding dim.

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from encoder.image_encoder import ImageEncoder
from index.answers.local_features import PivotalPatches, pivotal_patches_of

BLUR = 0.3  # radius of the Gaussian, in patches


def blurred(pixels_SS3: NDArray[np.uint8], patches: PivotalPatches, grid: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture once for each pivotal patch, with that patch out of focus.

    A patch of one colour would be a new thing to look at, and move the embedding by itself: found on the demo's
    training specimens, where it points to marks a third less often.

    Returns:
        uint8, shape (P, S, S, 3).
    """
    side = len(pixels_SS3)
    height, width = side / grid[0], side / grid[1]
    blur = ImageFilter.GaussianBlur((BLUR * width, BLUR * height))
    soft_SS3 = np.asarray(Image.fromarray(pixels_SS3).filter(blur))
    blurred_PSS3 = np.repeat(pixels_SS3[None], len(patches.positions_P), axis=0)
    for picture_SS3, position in zip(blurred_PSS3, patches.positions_P.tolist(), strict=True):
        row, column = divmod(position, grid[1])
        rows = slice(round(row * height), round((row + 1) * height))
        columns = slice(round(column * width), round((column + 1) * width))
        picture_SS3[rows, columns] = soft_SS3[rows, columns]
    return blurred_PSS3


def influence(embedding_D: NDArray[np.float32], moved_PD: NDArray[np.float32]) -> NDArray[np.float32]:
    """What share of the movement each blurred patch brings, float32, shape (P,), sum 1; all the same where none does.

    Args:
        embedding_D: of the picture, of length 1.
        moved_PD: of the picture with each patch blurred.
    """
    moved_P = np.maximum(1 - moved_PD @ embedding_D, 0)
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
    moved_PD = encoder.encode(blurred(pixels_SS3, patches, grid)).embedding_BD
    embedding_D = encoded.embedding_BD[0]
    return embedding_D, replace(patches, influence_P=influence(embedding_D, moved_PD))
