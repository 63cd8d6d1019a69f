"""How far a measured share may be off because other pictures could have been in the test: bootstrap intervals.

The queries are drawn anew with replacement, the mean is taken, a thousand times; the middle 95 % of the means is the
interval (percentile bootstrap, Efron 1979). It says nothing of another training run, whose seed would differ.
"""

# Q queries, R draws.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Figure:
    """A mean over the queries, and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def mean_figure(values_Q: NDArray[np.float64]) -> Figure:
    """The mean of one value a query, at least one, with its interval."""
    return Figure(float(values_Q.mean()), *confidence_interval(values_Q))


def confidence_interval(values_Q: NDArray[np.float64], *, seed: int = 0) -> tuple[float, float]:
    """Interval of the mean of one value a query; (0, 0) if there is none.

    Args:
        values_Q: 0 or 1 for a rank, a number in [0, 1] for average precision. Shape (Q,).
        seed: of the draws, so that the same values give the same interval.
    """
    if len(values_Q) == 0:
        return 0.0, 0.0
    generator = np.random.default_rng(seed)
    means_R = np.array([values_Q[generator.integers(0, len(values_Q), len(values_Q))].mean() for _ in range(NUM_DRAWS)])
    low, high = np.quantile(means_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
