"""The one way in which every FAISS index is searched: how hard to look, and which positions may be found.

How hard is one number: lists probed by an inverted file, the breadth of the walk through an HNSW graph. Other index
types have none.
"""

# Q queries, C candidates.

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

MAX_EF = 4096


class Selection:
    """Positions of a snapshot that may be found. Immutable.

    Args:
        bits: one bit a position, little-endian, 1 where it may be found.
        num_selected: how many those are.
    """

    def __init__(self, bits: NDArray[np.uint8], num_selected: int) -> None:
        self.bits, self.num_selected = bits, num_selected
        self.selector = faiss.IDSelectorBitmap(8 * len(bits), faiss.swig_ptr(bits))

    @classmethod
    def everything(cls, count: int) -> "Selection":
        """All of `count` positions."""
        return cls(np.packbits(np.ones(count, np.bool_), bitorder="little"), count)

    def without(self, positions: NDArray[np.int64]) -> "Selection":
        """The selection less some positions, each of which it holds."""
        bits = self.bits.copy()
        np.bitwise_and.at(bits, positions >> 3, ~(np.uint8(1) << (positions & 7).astype(np.uint8)))
        return Selection(bits, self.num_selected - len(positions))

    def holds(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some positions may be found."""
        chosen: NDArray[np.bool_] = (self.bits[positions >> 3] >> (positions & 7).astype(np.uint8)) & 1 == 1
        return chosen

    def positions(self) -> NDArray[np.int64]:
        """All that may be found, ascending."""
        return np.flatnonzero(np.unpackbits(self.bits, bitorder="little"))


def candidates(
    index: faiss.Index, queries_QD: NDArray[np.float32], num: int, effort: int, selection: Selection | None
) -> NDArray[np.int64]:
    """Positions that the index holds for nearest, shape (Q, C), -1 where it found fewer."""
    params = search_parameters(index, effort, selection.selector if selection else None)
    positions_QC: NDArray[np.int64] = index.search(queries_QD, num, params=params)[1]
    return positions_QC


def candidates_of_all(
    index: faiss.Index, queries_QD: NDArray[np.float32], num: int, selection: Selection | None
) -> NDArray[np.int64]:
    """As `candidates`, among everything that may be found, however far from the query it lies.

    A walk through a graph ends long before: it only ever comes to what is near. So the codes are gone through instead.

    Raises:
        RuntimeError: FAISS cannot leave anything out of a search of these codes.
    """
    if isinstance(index, faiss.IndexPreTransform):
        chain: Any = index.chain  # its stubs take this for a list
        for place in range(chain.size()):
            queries_QD = faiss.downcast_VectorTransform(chain.at(place)).apply(queries_QD)
        return candidates_of_all(faiss.downcast_index(index.index), queries_QD, num, selection)
    if isinstance(index, faiss.IndexRefine):
        return candidates_of_all(faiss.downcast_index(index.base_index), queries_QD, num, selection)
    codes = faiss.downcast_index(index.storage) if isinstance(index, faiss.IndexHNSW) else index
    return candidates(codes, queries_QD, num, most_effort(codes), selection)


def search_parameters(index: faiss.Index, effort: int, selector: faiss.IDSelector | None) -> Any:
    """FAISS's parameters of one search; `effort` is ignored by an index that has none."""
    parameters: Any = faiss  # its Python layer gives these classes keyword arguments that its stubs do not know
    options = {} if selector is None else {"sel": selector}
    if isinstance(index, faiss.IndexPreTransform):
        inner = search_parameters(faiss.downcast_index(index.index), effort, selector)
        return parameters.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexRefine):
        inner = search_parameters(faiss.downcast_index(index.base_index), effort, selector)
        return parameters.IndexRefineSearchParameters(k_factor=index.k_factor, base_index_params=inner)
    if isinstance(index, faiss.IndexIVF):
        return parameters.SearchParametersIVF(nprobe=effort, **options)
    if isinstance(index, faiss.IndexHNSW):
        return parameters.SearchParametersHNSW(efSearch=effort, **options)
    return parameters.SearchParameters(**options)


def most_effort(index: faiss.Index) -> int:
    """The effort beyond which looking harder does not pay; 1 where an index has no such number."""
    if isinstance(index, faiss.IndexPreTransform):
        return most_effort(faiss.downcast_index(index.index))
    if isinstance(index, faiss.IndexRefine):
        return most_effort(faiss.downcast_index(index.base_index))
    if isinstance(index, faiss.IndexIVF):
        return int(index.nlist)
    return MAX_EF if isinstance(index, faiss.IndexHNSW) else 1
