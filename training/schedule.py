"""Learning rate and momentum as functions of the step (MoCo v3, arXiv:2104.02057)."""

import math


def learning_rate(step: int, num_steps: int, *, base_lr: float, warmup: float) -> float:
    """Linear warm-up from 0, then half a cosine down to 0.

    Args:
        step: 0-based.
        num_steps: of the whole run.
        base_lr: the peak, already scaled by the batch size.
        warmup: share of the steps spent rising, in [0, 1].
    """
    num_warmup = warmup * num_steps
    if step < num_warmup:
        return base_lr * step / num_warmup
    return base_lr * 0.5 * (1.0 + math.cos(math.pi * (step - num_warmup) / (num_steps - num_warmup)))


def momentum_at(step: int, num_steps: int, *, start: float) -> float:
    """Momentum of the momentum encoder: from `start` at step 0 to 1 at the end, by half a cosine."""
    return 1.0 - 0.5 * (1.0 + math.cos(math.pi * step / num_steps)) * (1.0 - start)
