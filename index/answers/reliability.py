"""How honest probabilities are, and how well a score tells two kinds apart."""

# Q answers, B bins.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 15
NUM_DRAWS = 200
CURVE_POINTS = 101


@dataclass(frozen=True)
class Bin:
    """Answers of about one confidence: how many, their mean confidence, and the share of them that is right."""

    num: int
    confidence: float
    accuracy: float


def reliability_bins(confidence_Q: NDArray[np.float64], right_Q: NDArray[np.bool_]) -> list[Bin]:
    """The answers in bins of equal width, empty ones left out."""
    bins_Q = np.minimum((confidence_Q * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    return [
        Bin(int(of.sum()), float(confidence_Q[of].mean()), float(right_Q[of].mean()))
        for of in (bins_Q == number for number in range(NUM_BINS))
        if of.any()
    ]


def calibration_error(confidence_Q: NDArray[np.float64], right_Q: NDArray[np.bool_]) -> float:
    """Expected calibration error (Guo et al. 2017): mean gap of confidence and accuracy over 15 bins, by their size."""
    bins = reliability_bins(confidence_Q, right_Q)
    return sum(one.num * abs(one.confidence - one.accuracy) for one in bins) / max(1, len(confidence_Q))


def chance_error(confidence_Q: NDArray[np.float64], *, seed: int = 0) -> float:
    """The mean error of perfectly calibrated confidences on as many answers: what of the error is only their number."""
    generator = np.random.default_rng(seed)
    draws = [
        calibration_error(confidence_Q, generator.random(len(confidence_Q)) < confidence_Q) for _ in range(NUM_DRAWS)
    ]
    return float(np.mean(draws))


def auroc(negative_Q: NDArray[np.float64], positive_Q: NDArray[np.float64]) -> float:
    """The chance that a positive scores above a negative, ties counting half; both have at least one."""
    ordered = np.sort(negative_Q)
    below = np.searchsorted(ordered, positive_Q, side="left")
    not_above = np.searchsorted(ordered, positive_Q, side="right")
    return float((below + not_above).mean() / 2 / len(ordered))


def acceptance_curve(known_Q: NDArray[np.float64], strangers_Q: NDArray[np.float64]) -> list[list[float]]:
    """Pairs of false acceptance and rejection of the known, by threshold: what one costs in the other.

    Args:
        known_Q: unknown scores of what is known.
        strangers_Q: unknown scores of what is not.
    """
    shares = np.linspace(0, 1, CURVE_POINTS)
    thresholds = np.quantile(strangers_Q, shares, method="higher")
    return [
        [round(float((strangers_Q < threshold).mean()), 4), round(float((known_Q >= threshold).mean()), 4)]
        for threshold in thresholds
    ]
