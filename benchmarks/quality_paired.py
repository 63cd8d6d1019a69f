"""The difference of two methods over several seeds, with an interval that counts both pictures and seeds.

Both methods answer the same test pictures in each seed, from the same initial weights. So what is averaged is one
difference a seed and picture, d[s, q]; its mean over all is the estimate. For the interval the seeds are drawn anew
with replacement, and, independently, the pictures, the same ones for every seed (the pigeonhole bootstrap, Owen 2007,
arXiv:0712.1111); the middle 95 % of a thousand such means is the interval.

With three seeds the part of the interval that is due to training is understated: drawing three of three with
replacement shows 2/3 of their variance, and three say little of the spread to begin with. `by_seed` is therefore kept.
With one seed the interval says nothing of training at all.
"""

# S seeds, Q test pictures, R draws.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.bootstrap import LEVEL, NUM_DRAWS


@dataclass(frozen=True)
class Difference:
    """First method minus second: the mean, its 95 % interval, and the mean of each seed."""

    value: float
    low: float
    high: float
    by_seed: list[float]


def paired_difference(first_SQ: NDArray[np.float64], second_SQ: NDArray[np.float64], *, seed: int = 0) -> Difference:
    """Compare the outcomes of two methods.

    Args:
        first_SQ: one outcome a seed and test picture, shape (S, Q), both at least 1.
        second_SQ: of the other method, in the same order.
        seed: of the draws.

    Raises:
        ValueError: they are not of the same seeds and pictures.
    """
    if first_SQ.shape != second_SQ.shape:
        raise ValueError(f"outcomes of {first_SQ.shape} and {second_SQ.shape} seeds and pictures, expected the same")
    difference_SQ = first_SQ - second_SQ
    num_seeds, num_queries = difference_SQ.shape
    generator = np.random.default_rng(seed)
    means_R = np.empty(NUM_DRAWS)
    for draw in range(NUM_DRAWS):
        seeds = generator.integers(0, num_seeds, num_seeds)
        queries = generator.integers(0, num_queries, num_queries)
        # How often each was drawn, rather than the drawn table itself, which would be copied a thousand times.
        times_S = np.bincount(seeds, minlength=num_seeds)
        times_Q = np.bincount(queries, minlength=num_queries)
        means_R[draw] = times_S @ difference_SQ @ times_Q / (num_seeds * num_queries)
    low, high = np.quantile(means_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(float(difference_SQ.mean()), float(low), float(high), difference_SQ.mean(axis=1).tolist())
