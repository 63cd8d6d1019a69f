"""The exact nearest items of each of many: what every judgement of the doctor rests on.

Block by block of questions against block by block of the others, so that memory does not grow with their product.
"""

# Q questions, G gallery, B questions of a block, K neighbours, D embedding dim.

from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from index.vector_file import VectorFile

QUESTIONS_AT_ONCE = 4096
GALLERY_AT_ONCE = 50_000
NOBODY = -1  # instead of the position of a neighbour


@dataclass(frozen=True)
class Neighbours:
    """The nearest others of some items, nearest first.

    Attributes:
        questions_Q: positions of the items.
        positions_QK: of their neighbours; NOBODY where there are fewer.
        distances_QK: 1 - cosine, never below 0; infinite where there is nobody.
    """

    questions_Q: NDArray[np.int64]
    positions_QK: NDArray[np.int64]
    distances_QK: NDArray[np.float64]


def nearest(
    vectors: VectorFile,
    questions_Q: NDArray[np.int64],
    gallery_G: NDArray[np.int64],
    k: int,
    advance: Callable[[int], None] = lambda num: None,
) -> Neighbours:
    """Find the k nearest items of a gallery for each question, itself left out.

    Args:
        vectors: of all items.
        questions_Q: positions.
        gallery_G: positions of those that may be found.
        k: how many, at least 1.
        advance: told of each block of questions how many they were.

    Raises:
        SnapshotDamagedError: the file of vectors is not what was written.
    """
    positions_QK = np.full((len(questions_Q), k), NOBODY, np.int64)
    cosines_QK = np.full((len(questions_Q), k), -np.inf, np.float32)
    for start in range(0, len(questions_Q), QUESTIONS_AT_ONCE):
        block = slice(start, start + QUESTIONS_AT_ONCE)
        questions_B = questions_Q[block]
        queries_BD = vectors.read(questions_B)
        for first in range(0, len(gallery_G), GALLERY_AT_ONCE):
            part_G = gallery_G[first : first + GALLERY_AT_ONCE]
            found_cosines, found = faiss.knn(queries_BD, vectors.read(part_G), k + 1, metric=faiss.METRIC_INNER_PRODUCT)
            found_positions = np.where(found >= 0, part_G[found], NOBODY)
            # Oneself, and what faiss fills up with where the part is small, come last and are cut off.
            nobody = (found_positions == questions_B[:, None]) | (found < 0)
            found_cosines[nobody], found_positions[nobody] = -np.inf, NOBODY
            cosines = np.hstack([cosines_QK[block], found_cosines])
            positions = np.hstack([positions_QK[block], found_positions])
            order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
            cosines_QK[block] = np.take_along_axis(cosines, order, axis=1)
            positions_QK[block] = np.take_along_axis(positions, order, axis=1)
        advance(len(questions_B))
    return Neighbours(questions_Q, positions_QK, np.maximum(1.0 - cosines_QK.astype(np.float64), 0.0))
