"""What an embedding is made of: CLS, the mean of the patches, what a head makes of CLS, or several of these joined.

Joined parts are brought to length 1 each and may be weighted, `cls+0.5*mean`: CLS says what it is, the mean of the
patches keeps details that CLS leaves out, and half the weight gains the second without losing the first.
"""

import math
import re

PARTS = ("cls", "mean", "projector", "predictor")
EXPECTED = f"one of {', '.join(PARTS)}, or several joined by + with weights where wanted, such as cls+0.5*mean"

_PART = re.compile(r"(?:(?P<weight>\d+(?:\.\d+)?)\*)?(?P<name>[a-z]+)")


def feature_weights(feature: str) -> dict[str, float]:
    """The parts of a feature with their weights, in the order they are joined in.

    Args:
        feature: parts joined by +, each with its weight and * before it or of weight 1.

    Returns:
        Weights by name, of root sum of squares 1, so that unit parts times these make a feature of length 1.

    Raises:
        ValueError: a part that is none, one that is named twice, or a weight of 0.
    """
    weights: dict[str, float] = {}
    for text in feature.split("+"):
        found = _PART.fullmatch(text)
        name = found["name"] if found else ""
        weight = float(found["weight"] or 1) if found else 0.0
        if name not in PARTS or name in weights or not weight > 0:
            raise ValueError(f"feature {feature!r}: {text!r} is no part of it, expected {EXPECTED}")
        weights[name] = weight
    length = math.hypot(*weights.values())
    return {name: weight / length for name, weight in weights.items()}


def is_feature(text: str) -> bool:
    """Whether `feature_weights` takes it."""
    try:
        feature_weights(text)
    except ValueError:
        return False
    return True
