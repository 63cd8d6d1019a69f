"""Pictures that are in the catalogue more than once: the same file, or the same picture encoded anew or resized.

A pair is held against each other's thumbnails (`index.doctor.same_picture`) where the embeddings are much closer than
neighbours usually are in this catalogue; how close cosines are differs from encoder to encoder, so that is not a number
of its own. Groups, not pairs: of a picture that is there five times there is one finding.
"""

# N items, Q questions.

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.doctor.neighbours import NOBODY, Neighbours

# A copy is nearer than this share of the usual distance to the fifth neighbour. Measured as in `same_picture`, most
# copies lie at a hundredth to a tenth of it, but up to two thirds where there are several photographs of everything. So
# this only saves looking at thumbnails: about one pair an item is left, or less.
CLOSE = 0.7
LOOKED_AT = 5  # neighbours of an item


@dataclass(frozen=True)
class Group:
    """Items that show one picture.

    Attributes:
        positions: of the items, in their order.
        exact: all are the same file.
    """

    positions: tuple[int, ...]
    exact: bool


def find_groups(
    first_N: NDArray[np.int64],
    neighbours: Neighbours,
    same: Callable[[int, int], bool],
    advance: Callable[[int], None] = lambda num: None,
) -> list[Group]:
    """The groups of two items and more, in the order of their first items.

    Args:
        first_N: position of the first item with each one's content.
        neighbours: of items whose content no earlier one has, among those.
        same: whether the items at two positions show one picture.
        advance: told how many pairs of how many are compared.
    """
    leader = {int(position): int(first) for position, first in enumerate(first_N) if position != first}

    def leader_of(position: int) -> int:
        while position in leader:
            position = leader[position]
        return position

    near = set[int]()
    pairs = close_pairs(neighbours)
    for number, (one, other) in enumerate(pairs):
        early, late = sorted((leader_of(one), leader_of(other)))
        if early == late or same(one, other):
            near.update((one, other))
            if early != late:
                leader[late] = early
        advance(number + 1)
    members: dict[int, list[int]] = defaultdict(list)
    for position in sorted({*leader, *leader.values()}):
        members[leader_of(position)].append(position)
    return [Group(tuple(members[first]), near.isdisjoint(members[first])) for first in sorted(members)]


def close_pairs(neighbours: Neighbours) -> list[tuple[int, int]]:
    """Pairs of positions that are much closer than neighbours usually are, each once, the lower one first."""
    looked_at = min(LOOKED_AT, neighbours.distances_QK.shape[1])
    if not len(neighbours.questions_Q) or not looked_at:
        return []
    far = neighbours.distances_QK[:, looked_at - 1]
    usual = np.median(far[np.isfinite(far)]) if np.isfinite(far).any() else np.inf
    rows, columns = np.nonzero(
        (neighbours.distances_QK[:, :looked_at] <= CLOSE * usual) & (neighbours.positions_QK[:, :looked_at] != NOBODY)
    )
    questions, others = neighbours.questions_Q[rows], neighbours.positions_QK[rows, columns]
    return sorted(_ordered(zip(questions.tolist(), others.tolist(), strict=True)))


def _ordered(pairs: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in pairs}
