"""Bytes of a vector in each index type, by formula; tests/scripts compares them with real indexes.

Not covered: what is there once for a whole index, such as PQ codebooks, which is nothing beside many vectors.
"""

from collections.abc import Callable

from index.ann_candidates import PQ_DIMS, num_lists

HNSW_LINKS = 16  # M of index.ann_candidates


def ivf_lists_bytes(count: int, dim: int) -> float:
    """Centroids in single precision, for each vector."""
    return num_lists(count) * 4 * dim / count


def ivf_sq8(count: int, dim: int) -> float:
    """A code of one byte a dimension, an id of 8 bytes, the centroids."""
    return dim + 8 + ivf_lists_bytes(count, dim)


def hnsw_sq8(_: int, dim: int) -> float:
    """A code of one byte a dimension, the links of all levels at 4 bytes, an offset of 8 bytes, a level of 4."""
    return dim + 4 * HNSW_LINKS * (2 + 1 / (HNSW_LINKS - 1)) + 12


def ivf_pq(count: int, dim: int) -> float:
    """4 bits for PQ_DIMS dimensions, an id, the centroids; a list is padded by half a block of 32 codes on average."""
    code = dim / PQ_DIMS / 2
    return code + 8 + ivf_lists_bytes(count, dim) + 16 * code * num_lists(count) / count


def ivf_rabitq(count: int, dim: int) -> float:
    """One bit a dimension, two floats that correct it, an id, the centroids."""
    return dim / 8 + 8 + 8 + ivf_lists_bytes(count, dim)


# By the names of index.ann_candidates: bytes a vector, by number of vectors and dimensions; the formula in words.
INDEXES: dict[str, tuple[Callable[[int, int], float], str]] = {
    "HNSW SQ8": (hnsw_sq8, "D + 4·M·(2 + 1/(M−1)) + 12, M = 16"),
    "IVF SQ8": (ivf_sq8, "D + 8 + C"),
    "IVF PQ fast-scan": (ivf_pq, "D/8 + 8 + 1.5·C"),
    "IVF RaBitQ": (ivf_rabitq, "D/8 + 16 + C"),
}
RAW: dict[str, tuple[Callable[[int, int], float], str]] = {
    "vectors, fp16": (lambda _, dim: 2 * dim, "2·D"),
    "vectors, fp32 (Flat)": (lambda _, dim: 4 * dim, "4·D"),
}
