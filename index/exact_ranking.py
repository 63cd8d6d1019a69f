"""The full ranking of all items for each of some queries, by exact cosine: what an evaluation is measured on.

A few queries at a time against the file of vectors, chunk by chunk: in memory are the cosines of those few, never of
all to all.
"""

# N items, Q queries, G of them at a time, C vectors of a chunk.

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from index.vector_file import VectorFile

COSINE_BYTES = 256 * 2**20  # of one group of queries
MAX_GROUP = 256


def exact_rankings(
    vectors: VectorFile, positions_Q: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """For each query in turn the positions of all other items, nearest first, and their cosines.

    Ties keep the order of the items.

    Args:
        vectors: of all items.
        positions_Q: of the queries among them.
    """
    group = max(1, min(MAX_GROUP, COSINE_BYTES // (4 * max(1, vectors.count))))
    for start in range(0, len(positions_Q), group):
        positions_G = positions_Q[start : start + group]
        queries_GD = vectors.read(positions_G)
        cosines_GN = np.empty((len(positions_G), vectors.count), np.float32)
        for first, chunk_CD in vectors.chunks():
            np.matmul(queries_GD, chunk_CD.T, out=cosines_GN[:, first : first + len(chunk_CD)])
        for position, cosines_N in zip(positions_G.tolist(), cosines_GN, strict=True):
            cosines_N[position] = -np.inf  # comes last, and is cut off
            order = np.argsort(-cosines_N, kind="stable")[:-1]
            yield order, cosines_N[order]
