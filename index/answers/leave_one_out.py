"""The neighbours of a sample of items among all others, by exact search: the questions that a fit is made on.

Left out of an item's neighbours: itself, copies (an earlier item has their content), and, where a group is named, what
shares its group: of a burst of one specimen the others say nothing of a new picture. Each question is asked twice: as
it is, and as a stranger, with its whole class left out.

Questions may also be pictures of another catalogue of the same encoder, taken as new pictures will be.
"""

# N items, Q questions, G of them at a time, K neighbours, D embedding dim.

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.answers.classes import Classes
from index.evaluation_items import NONE, EvaluatedItems
from index.exact_ranking import COSINE_BYTES, MAX_GROUP
from index.vector_file import VectorFile


@dataclass(frozen=True)
class Neighbours:
    """The nearest items of each question, nearest first.

    Attributes:
        positions_QK: of the items, NONE where there are no more; int64.
        cosines_QK: float64; -inf where there are no more.
    """

    positions_QK: NDArray[np.int64]
    cosines_QK: NDArray[np.float64]

    def of(self, kept_Q: NDArray[np.bool_]) -> "Neighbours":
        """Those of some questions."""
        return Neighbours(self.positions_QK[kept_Q], self.cosines_QK[kept_Q])


@dataclass(frozen=True)
class Questions:
    """Pictures whose labels are known.

    Attributes:
        own: of each rank the class of each question, NONE for none or one that no other item has; shape (Q,), int64.
        num_alone: of each rank, questions whose class no other item has.
        finest_Q: number of the finest label of each, among `Classes.size_by_finest`, of which the question itself is
            one; NONE where it is none.
        class_Q: number of the finest class of each, whatever its rank.
        item_Q: which item each is, NONE where it is none.
        known: what was found.
        strangers: what was found without the question's class.
    """

    own: dict[str, NDArray[np.int64]]
    num_alone: dict[str, int]
    finest_Q: NDArray[np.int64]
    class_Q: NDArray[np.int64]
    item_Q: NDArray[np.int64]
    known: Neighbours
    strangers: Neighbours

    def answerable(self) -> "Questions":
        """Those whose class another item has, at some rank."""
        kept_Q = np.logical_or.reduce([codes_Q != NONE for codes_Q in self.own.values()])
        return Questions(
            {rank: codes_Q[kept_Q] for rank, codes_Q in self.own.items()}, self.num_alone, self.finest_Q[kept_Q],
            self.class_Q[kept_Q], self.item_Q[kept_Q], self.known.of(kept_Q), self.strangers.of(kept_Q),
        )  # fmt: skip


def leave_one_out(
    items: EvaluatedItems,
    classes: Classes,
    positions_Q: NDArray[np.int64],
    k: int,
    advance: Callable[[], None] = lambda: None,
) -> Questions:
    """Ask items for the others; `items.group_N`, where it is there, says which belong together."""

    def leave_out(number: int, cosines_N: NDArray[np.float32]) -> None:
        position = int(positions_Q[number])
        cosines_N[position] = -np.inf
        if items.group_N is not None and items.group_N[position] != NONE:
            cosines_N[items.group_N == items.group_N[position]] = -np.inf

    own = {rank: codes_N[positions_Q] for rank, codes_N in classes.codes.items()}
    return _ask(
        items, classes, _read_in_groups(items.vectors, positions_Q), own, classes.finest_N[positions_Q], positions_Q, k,
        leave_out, advance,
    )  # fmt: skip


def ask_others(
    items: EvaluatedItems,
    classes: Classes,
    queries_QD: NDArray[np.float32],
    labels: Sequence[Mapping[str, str]],
    k: int,
    advance: Callable[[], None] = lambda: None,
) -> Questions:
    """Ask pictures that are not in the catalogue; `labels` are theirs."""
    found = [classes.codes_of(one) for one in labels]
    own = {rank: np.array([one.get(rank, NONE) for one in found], np.int64) for rank in classes.codes}
    group = _group(items.vectors)
    in_groups = (queries_QD[start : start + group] for start in range(0, len(queries_QD), group))
    nobody_Q = np.full(len(queries_QD), NONE, np.int64)
    return _ask(items, classes, in_groups, own, nobody_Q, nobody_Q, k, lambda _number, _cosines_N: None, advance)


def _ask(
    items: EvaluatedItems,
    classes: Classes,
    queries_in_groups: Iterator[NDArray[np.float32]],
    own: dict[str, NDArray[np.int64]],
    finest_Q: NDArray[np.int64],
    item_Q: NDArray[np.int64],
    k: int,
    leave_out: Callable[[int, NDArray[np.float32]], None],
    advance: Callable[[], None],
) -> Questions:
    num = len(finest_Q)
    known, strangers = _Found(num, k), _Found(num, k)
    alone = {rank: np.zeros(num, np.bool_) for rank in own}
    class_Q = np.full(num, NONE, np.int64)
    first_class = np.cumsum([0, *(len(classes.keys[rank]) for rank in classes.codes)])
    number = 0
    for queries_GD in queries_in_groups:
        cosines_GN = np.empty((len(queries_GD), items.vectors.count), np.float32)
        for first, chunk_CD in items.vectors.chunks():
            np.matmul(queries_GD, chunk_CD.T, out=cosines_GN[:, first : first + len(chunk_CD)])
        cosines_GN[:, items.copy_N] = -np.inf
        for cosines_N in cosines_GN:
            leave_out(number, cosines_N)
            known.note(number, cosines_N)
            there_N = cosines_N > -np.inf
            for rank_number, (rank, codes_N) in enumerate(classes.codes.items()):
                code = own[rank][number]
                if code == NONE:
                    continue
                of_class_N = codes_N == code
                alone[rank][number] = not (of_class_N & there_N).any()
                if class_Q[number] == NONE:  # its finest rank
                    class_Q[number] = first_class[rank_number] + code
                    without_N = np.where(of_class_N, np.float32(-np.inf), cosines_N)
                    strangers.note(number, without_N)
            number += 1
            advance()
    return Questions(
        own={rank: np.where(alone[rank], NONE, codes_Q) for rank, codes_Q in own.items()},
        num_alone={rank: int(alone_Q.sum()) for rank, alone_Q in alone.items()},
        finest_Q=finest_Q, class_Q=class_Q, item_Q=item_Q, known=known.neighbours(), strangers=strangers.neighbours(),
    )  # fmt: skip


class _Found:
    """The k nearest of each question, as they come."""

    def __init__(self, num: int, k: int) -> None:
        self._positions_QK = np.full((num, k), NONE, np.int64)
        self._cosines_QK = np.full((num, k), -np.inf)

    def note(self, number: int, cosines_N: NDArray[np.float32]) -> None:
        k = self._positions_QK.shape[1]
        nearest = np.argpartition(-cosines_N, k)[:k] if k < len(cosines_N) else np.arange(len(cosines_N))
        nearest = nearest[cosines_N[nearest] > -np.inf]
        nearest = nearest[np.lexsort((nearest, -cosines_N[nearest]))]
        self._positions_QK[number, : len(nearest)] = nearest
        self._cosines_QK[number, : len(nearest)] = cosines_N[nearest]

    def neighbours(self) -> Neighbours:
        return Neighbours(self._positions_QK, self._cosines_QK)


def _group(vectors: VectorFile) -> int:
    """How many questions are compared at once: their cosines are held in memory."""
    return max(1, min(MAX_GROUP, COSINE_BYTES // (4 * max(1, vectors.count))))


def _read_in_groups(vectors: VectorFile, positions_Q: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    group = _group(vectors)
    for start in range(0, len(positions_Q), group):
        yield vectors.read(positions_Q[start : start + group])
