"""How far an item is from a label: the mean distance to the few nearest items that have it, itself left out.

A few, not one, so that a single wrongly labelled neighbour does not decide; and few, because the pictures of one label
may be of several kinds (a flower from above and from the side), of which an item needs to be near one.
"""

# Q questions, K neighbours.

import numpy as np
from numpy.typing import NDArray

from index.doctor.neighbours import NOBODY, Neighbours, nearest
from index.evaluation_items import NONE
from index.vector_file import VectorFile

FEW = 3


def few_of(
    codes_Q: NDArray[np.int32], own_codes_Q: NDArray[np.int32], num_of_label: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many items of a label each question is compared with: FEW, or all others where they are not so many.

    Args:
        codes_Q: numbers of the labels.
        own_codes_Q: numbers of the labels that the questions have: one is not its own neighbour.
        num_of_label: items of each label.
    """
    few_Q: NDArray[np.int64] = np.minimum(FEW, num_of_label[codes_Q] - (codes_Q == own_codes_Q))
    return few_Q


def distances_to(
    vectors: VectorFile,
    neighbours: Neighbours,
    codes_N: NDArray[np.int32],
    members: NDArray[np.int64],
    wanted_Q: NDArray[np.int32],
    few_Q: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The distance of each question to a label.

    Args:
        vectors: of all items.
        neighbours: of the questions.
        codes_N: numbers of all items' labels.
        members: positions of the items that count.
        wanted_Q: number of the label that each question is held against.
        few_Q: how many of its items to average over; where 0, the distance is not a number.

    Returns:
        Shape (Q,), float64.
    """
    codes_QK = codes_of(neighbours, codes_N)
    seen_QK = codes_QK == wanted_Q[:, None]
    counted_QK = seen_QK & (np.cumsum(seen_QK, axis=1) <= few_Q[:, None])
    distance_Q = np.full(len(wanted_Q), np.nan)
    known = (counted_QK.sum(axis=1) == few_Q) & (few_Q > 0)
    sums_Q = np.where(counted_QK, neighbours.distances_QK, 0.0).sum(axis=1)
    distance_Q[known] = sums_Q[known] / few_Q[known]
    # The neighbours hold too few of the label: look for its nearest items wherever they are.
    left = np.flatnonzero(~known & (few_Q > 0))
    member_codes = codes_N[members]
    order = np.argsort(member_codes, kind="stable")
    for code in np.unique(wanted_Q[left]):
        asked = left[wanted_Q[left] == code]
        low, high = np.searchsorted(member_codes[order], [code, code + 1])
        found = nearest(vectors, neighbours.questions_Q[asked], np.sort(members[order[low:high]]), FEW)
        for row, question in enumerate(asked.tolist()):
            distance_Q[question] = found.distances_QK[row, : few_Q[question]].mean()
    return distance_Q


def nearest_other_label(
    neighbours: Neighbours, codes_N: NDArray[np.int32], own_Q: NDArray[np.int32], few_Q: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Of the labels that a question's neighbours have and it has not, the nearest one, and how far it is.

    A label counts where the neighbours hold as many items of it as are averaged over.

    Args:
        neighbours: of the questions.
        codes_N: numbers of all items' labels.
        own_Q: number of each question's own label.
        few_Q: how many items to average over.

    Returns:
        Number of the label, NONE where no label counts, and distance, infinite there; both of shape (Q,).
    """
    codes_QK = codes_of(neighbours, codes_N)
    num, k = codes_QK.shape
    rows = np.repeat(np.arange(num), k)
    codes = codes_QK.ravel().astype(np.int64)
    usable = (codes != NONE) & (codes != own_Q[rows])
    rows, codes, distances = rows[usable], codes[usable], neighbours.distances_QK.ravel()[usable]
    order = np.lexsort((codes, rows))  # stable: within a label of a row, nearest first
    rows, codes, distances = rows[order], codes[order], distances[order]
    begins = np.flatnonzero(np.r_[True, (rows[1:] != rows[:-1]) | (codes[1:] != codes[:-1])]) if len(rows) else rows
    few = few_Q[rows[begins]]
    ends = np.append(begins[1:], len(rows))
    whole = (few > 0) & (ends - begins >= few)
    begins, few = begins[whole], few[whole]
    sums = np.append(0.0, np.cumsum(distances))
    means = (sums[begins + few] - sums[begins]) / few
    best_code_Q = np.full(num, NONE, np.int32)
    best_Q = np.full(num, np.inf)
    for row, code, mean in zip(rows[begins].tolist(), codes[begins].tolist(), means.tolist(), strict=True):
        if mean < best_Q[row]:
            best_code_Q[row], best_Q[row] = code, mean
    return best_code_Q, best_Q


def nearest_label(neighbours: Neighbours, codes_N: NDArray[np.int32]) -> NDArray[np.int32]:
    """Number of the label of each question's nearest neighbour that has one, NONE where none has; shape (Q,)."""
    codes_QK = codes_of(neighbours, codes_N)
    first_Q = np.argmax(codes_QK != NONE, axis=1)
    label_Q: NDArray[np.int32] = codes_QK[np.arange(len(codes_QK)), first_Q]
    return label_Q


def codes_of(neighbours: Neighbours, codes_N: NDArray[np.int32]) -> NDArray[np.int32]:
    """Numbers of the neighbours' labels, NONE where there is nobody, shape (Q, K)."""
    there_QK = neighbours.positions_QK != NOBODY
    codes_QK: NDArray[np.int32] = np.where(there_QK, codes_N[neighbours.positions_QK], NONE).astype(np.int32)
    return codes_QK
