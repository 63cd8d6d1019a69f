"""Embeddings as the database stores them: half precision, little-endian."""

# N vectors, D embedding dim.

import sqlite3
from collections.abc import Sequence

import faiss
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
    return units(np.frombuffer(b"".join(blobs), STORED_DTYPE).reshape(len(blobs), dim))


def units(stored_ND: NDArray[np.float16]) -> NDArray[np.float32]:
    """Stored vectors scaled to length 1, float32, shape (N, D)."""
    vectors_ND = widened(stored_ND)
    faiss.normalize_L2(vectors_ND)  # leaves zeros as they are
    return vectors_ND


def widened(halves_ND: NDArray[np.float16]) -> NDArray[np.float32]:
    """Finite half-precision numbers in single precision, a third of the time of `astype`.

    Sign and bits of a half are moved to where a single has them; its exponent then counts from 127 instead of 15, so
    the number is 2^112 times too small. That is exact for subnormal numbers too.
    """
    bits_ND = halves_ND.view(np.int16).astype(np.int32)  # extends the sign over the upper half
    bits_ND <<= 13
    bits_ND &= ~0x70000000  # three copies of the sign in place of exponent bits
    singles_ND = bits_ND.view(np.float32)
    singles_ND *= np.float32(2.0**112)
    return singles_ND


def read_vectors(cursor: sqlite3.Cursor, dim: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows (N,) and unit vectors (N, D) of a cursor over row and blob."""
    rows, vectors = [np.empty(0, np.int64)], [np.empty((0, dim), np.float32)]
    # Piece by piece: a Python object for each of a million vectors would weigh more than the vectors.
    while found := cursor.fetchmany(_CHUNK):
        rows.append(np.array([row for row, _ in found], np.int64))
        vectors.append(unpack([blob for _, blob in found], dim))
    return np.concatenate(rows), np.concatenate(vectors)
