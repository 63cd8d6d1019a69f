"""Items that are far from everything: a wrong crop, a picture of something else, a broken file that still decodes.

The distance to the few nearest items, on a logarithmic scale, against that of all items and, where its label has
enough of them, against that of the own label: a label whose pictures all differ has no outliers for that. The scale is
the median absolute deviation, which the outliers themselves do not stretch.
"""

# Q questions.

import numpy as np
from numpy.typing import NDArray

from index.doctor.label_distance import FEW
from index.doctor.neighbours import Neighbours
from index.evaluation_items import NONE

FAR = 4.0  # robust standard deviations above the median of all items
FAR_FOR_ITS_LABEL = 3.0
LEAST_ITEMS = 10  # to speak of a median and a deviation
_EQUAL = 1e-6


def find_outliers(neighbours: Neighbours, codes_Q: NDArray[np.int32] | None) -> tuple[list[int], NDArray[np.float64]]:
    """The questions that are outliers, farthest first, and how far each question is, in robust standard deviations.

    Args:
        neighbours: of the questions.
        codes_Q: numbers of their finest labels, NONE for none; None where nothing is labelled.
    """
    nearest = neighbours.distances_QK[:, :FEW]
    far_Q = np.full(len(nearest), -np.inf)
    whole = np.flatnonzero(np.isfinite(nearest).all(axis=1)) if nearest.shape[1] == FEW else np.empty(0, np.int64)
    if len(whole) < LEAST_ITEMS:
        return [], far_Q
    logs_Q = np.log(nearest.mean(axis=1, where=np.isfinite(nearest)) + _EQUAL)
    far_Q[whole] = deviations(logs_Q[whole])
    suspects = far_Q >= FAR
    if codes_Q is not None:
        for code in np.unique(codes_Q[suspects & (codes_Q != NONE)]):
            members = whole[codes_Q[whole] == code]
            if len(members) >= LEAST_ITEMS:
                suspects[members] &= deviations(logs_Q[members]) >= FAR_FOR_ITS_LABEL
    found = np.flatnonzero(suspects)
    return found[np.argsort(-far_Q[found], kind="stable")].tolist(), far_Q


def deviations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each value lies above the median, in robust standard deviations; 0 where all are nearly equal."""
    above = values - np.median(values)
    scale = 1.4826 * np.median(np.abs(above))
    return above / scale if scale > 0 else np.zeros_like(above)
