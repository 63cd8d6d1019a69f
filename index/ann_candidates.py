"""The index types that are tried where exact search is too slow, and how one is trained and filled.

None of them keeps the vectors: candidates are scored with the snapshot's own half-precision file, so a coarse code
costs a few more candidates and never a wrong score. Where FAISS sees a GPU it trains the inverted lists there.
"""

import math
from dataclasses import dataclass

import faiss
import numpy as np

from index.vector_file import VectorFile

# Vectors seen in training for each inverted list; FAISS warns below 39.
TRAINED_PER_LIST = 40
TRAINING_SEED = 0
PQ_DIMS = 4  # dimensions a 4-bit code stands for


@dataclass(frozen=True)
class Candidate:
    """An index type.

    Attributes:
        name: as `stats` shows it.
        pattern: FAISS factory string with places for the number of lists and of PQ codes.
        least: vectors below which it cannot be trained.
    """

    name: str
    pattern: str
    least: int = 1

    def factory(self, count: int, dim: int) -> str:
        """The factory string for so many vectors."""
        return self.pattern.format(lists=num_lists(count), codes=math.ceil(dim / PQ_DIMS))


FLAT = Candidate("Flat", "Flat")
CANDIDATES = (
    Candidate("IVF SQ8", "IVF{lists},SQ8"),
    Candidate("IVF PQ fast-scan", "IVF{lists},PQ{codes}x4fs", least=1000),
    Candidate("IVF RaBitQ", "IVF{lists},RaBitQ"),
    Candidate("HNSW SQ8", "HNSW16_SQ8"),
)


def usable_candidates(count: int, dim: int) -> list[Candidate]:
    """The candidates that so many vectors of this length can be put into."""
    return [one for one in CANDIDATES if count >= one.least and ("PQ" not in one.pattern or dim % PQ_DIMS == 0)]


def num_lists(count: int) -> int:
    """Inverted lists for so many vectors: twice the root, a balance of finding lists and of scanning them."""
    return max(1, min(round(2 * math.sqrt(count)), count // TRAINED_PER_LIST))


def train_and_fill(factory: str, vectors: VectorFile) -> faiss.Index:
    """Build an index of all vectors of a file; in memory are the index, what it is trained on, and one chunk.

    Raises:
        RuntimeError: FAISS cannot build it of these vectors.
    """
    dim = vectors.dim
    index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    if not index.is_trained:
        _train_on_gpu(index)
        index.train(vectors.sample(_num_trained(index, vectors.count), TRAINING_SEED))
    for _, chunk_ND in vectors.chunks():
        index.add(chunk_ND)
    return index


def _num_trained(index: faiss.Index, count: int) -> int:
    inverted = faiss.try_extract_index_ivf(index)
    lists = inverted.nlist if inverted is not None else 0
    return min(count, max(TRAINED_PER_LIST * lists, 65_536))


def _train_on_gpu(index: faiss.Index) -> None:
    """Let k-means of the inverted lists run on the GPUs, in a FAISS that was built with them."""
    inverted = faiss.try_extract_index_ivf(index)
    if inverted is not None and getattr(faiss, "get_num_gpus", int)() > 0:
        inverted.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(inverted.d))


def serialized_bytes(index: faiss.Index) -> int:
    """What the index takes in memory and on disk."""
    return int(np.asarray(faiss.serialize_index(index)).nbytes)
