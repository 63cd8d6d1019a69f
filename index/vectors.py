"""Embeddings as the database stores them: half precision, little-endian."""

# N vectors, D embedding dim.

import sqlite3
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Half precision halves the file; a cosine moves by about 1e-4. Read back, vectors are scaled to length 1 again.
STORED_DTYPE = np.dtype("<f2")
_CHUNK = 4096  # vectors fetched at a time


def pack(embedding_D: NDArray[np.float32], dim: int) -> bytes:
    """An embedding as a blob.

    Raises:
        ValueError: it has another length, or is not finite.
    """
    if embedding_D.shape != (dim,) or not np.isfinite(embedding_D).all():
        raise ValueError(f"an embedding has shape {embedding_D.shape}, expected ({dim},) finite numbers")
    return embedding_D.astype(STORED_DTYPE).tobytes()


def unpack(blobs: Sequence[bytes], dim: int) -> NDArray[np.float32]:
    """Blobs as unit vectors, float32, shape (N, D)."""
    vectors_ND = np.frombuffer(b"".join(blobs), STORED_DTYPE).astype(np.float32).reshape(len(blobs), dim)
    norms_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    units_ND: NDArray[np.float32] = vectors_ND / np.maximum(norms_N1, np.finfo(np.float32).tiny)
    return units_ND


def read_vectors(cursor: sqlite3.Cursor, dim: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows (N,) and unit vectors (N, D) of a cursor over row and blob."""
    rows, vectors = [np.empty(0, np.int64)], [np.empty((0, dim), np.float32)]
    # Piece by piece: a Python object for each of a million vectors would weigh more than the vectors.
    while found := cursor.fetchmany(_CHUNK):
        rows.append(np.array([row for row, _ in found], np.int64))
        vectors.append(unpack([blob for _, blob in found], dim))
    return np.concatenate(rows), np.concatenate(vectors)
