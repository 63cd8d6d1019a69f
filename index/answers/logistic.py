"""A logistic map from a few features, each of which may only speak for the outcome: more of it is never less likely.

Fitted by Newton's method with a small ridge; a feature whose coefficient comes out negative is left out and the others
are fitted again, so that the map is monotone in each. A handful of numbers, fitted on as little as a dozen outcomes.
"""

# Q outcomes, F features.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RIDGE = 1.0  # worth about one outcome
NUM_STEPS = 50


@dataclass(frozen=True)
class LogisticMap:
    """A probability from features.

    Attributes:
        centre: of each feature, subtracted first.
        scale: of each feature, by which that is divided.
        slopes: of each scaled feature, at least 0.
        offset: of the sum.
    """

    centre: list[float]
    scale: list[float]
    slopes: list[float]
    offset: float

    def bulk(self, features_QF: NDArray[np.float64]) -> NDArray[np.float64]:
        """The probability of each row, shape (Q,)."""
        scaled_QF = (features_QF - np.array(self.centre)) / np.array(self.scale)
        return _sigmoid(scaled_QF @ np.array(self.slopes) + self.offset)

    def __call__(self, *features: float) -> float:
        """The probability of one row."""
        return float(self.bulk(np.array([features], np.float64))[0])


def fit_logistic(features_QF: NDArray[np.float64], outcome_Q: NDArray[np.bool_]) -> LogisticMap:
    """Fit the map. Where all outcomes are alike it stays short of certainty, by what the number of them can tell.

    Args:
        features_QF: finite, float64, shape (Q, F); Q at least 1.
        outcome_Q: what happened.
    """
    centre_F, scale_F = features_QF.mean(axis=0), features_QF.std(axis=0)
    scale_F = np.where(scale_F > 0, scale_F, 1.0)
    # Platt's targets: with n outcomes nothing is surer than (n + 1) / (n + 2).
    num_true = int(outcome_Q.sum())
    target_Q = np.where(outcome_Q, (num_true + 1) / (num_true + 2), 1 / (len(outcome_Q) - num_true + 2))
    scaled_QF = (features_QF - centre_F) / scale_F
    wanted = list(range(features_QF.shape[1]))
    while True:
        slopes, offset = _newton(scaled_QF[:, wanted], target_Q)
        if not len(slopes) or slopes.min() >= 0:
            break
        wanted.remove(wanted[int(slopes.argmin())])
    slopes_F = np.zeros(features_QF.shape[1])
    slopes_F[wanted] = slopes
    return LogisticMap(centre_F.tolist(), scale_F.tolist(), slopes_F.tolist(), float(offset))


def _newton(scaled_QF: NDArray[np.float64], target_Q: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    rows_QG = np.column_stack([scaled_QF, np.ones(len(scaled_QF))])
    ridge_G = np.append(np.full(scaled_QF.shape[1], RIDGE), 1e-6)
    weights_G = np.zeros(rows_QG.shape[1])
    for _ in range(NUM_STEPS):
        p_Q = _sigmoid(rows_QG @ weights_G)
        gradient_G = rows_QG.T @ (p_Q - target_Q) + ridge_G * weights_G
        curvature_GG = (rows_QG * (p_Q * (1 - p_Q))[:, None]).T @ rows_QG + np.diag(ridge_G)
        step_G = np.linalg.solve(curvature_GG, gradient_G)
        weights_G = weights_G - step_G * min(1.0, 4.0 / max(float(np.abs(step_G).max()), 1e-12))
        if float(np.abs(step_G).max()) < 1e-8:
            break
    return weights_G[:-1], float(weights_G[-1])


def _sigmoid(z_Q: NDArray[np.float64]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(z_Q, -40, 40)))
    return out
