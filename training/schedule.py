"""What changes in the course of a run, each a function of the step alone, so that a resumed run agrees.

Learning rate and momentum are MoCo v3's (arXiv:2104.02057). The side of the views and the share of kept patches stay
the same unless the recipe says where they begin.
"""

import math
from dataclasses import dataclass

from training.recipe import Recipe


@dataclass(frozen=True)
class StepSettings:
    """What one step is done with.

    Attributes:
        lr: learning rate, scaled by the batch size.
        momentum: m of the momentum encoder.
        image_size: side of the two views in pixels.
        keep_ratio: share of the patches that the local branch keeps.
    """

    lr: float
    momentum: float
    image_size: int
    keep_ratio: float


def settings_at(step: int, num_steps: int, recipe: Recipe) -> StepSettings:
    """The settings of a step, 0-based, of a run of `num_steps`."""
    return StepSettings(
        lr=learning_rate(step, num_steps, base_lr=recipe.lr * recipe.batch_size / 256, warmup=recipe.warmup),
        momentum=momentum_at(step, num_steps, start=recipe.momentum),
        image_size=image_size_at(
            step, num_steps, start=recipe.image_size_start, end=recipe.image_size, patch_size=recipe.patch_size
        ),
        keep_ratio=keep_ratio_at(step, num_steps, start=recipe.keep_ratio_start, end=recipe.keep_ratio),
    )


def learning_rate(step: int, num_steps: int, *, base_lr: float, warmup: float) -> float:
    """Linear warm-up from 0, then half a cosine down to 0.

    Args:
        step: 0-based.
        num_steps: of the whole run.
        base_lr: the peak, already scaled by the batch size.
        warmup: share of the steps spent rising, in [0, 1).
    """
    num_warmup = warmup * num_steps
    if step < num_warmup:
        return base_lr * step / num_warmup
    return base_lr * 0.5 * (1.0 + math.cos(math.pi * (step - num_warmup) / (num_steps - num_warmup)))


def momentum_at(step: int, num_steps: int, *, start: float) -> float:
    """Momentum of the momentum encoder: from `start` at step 0 to 1 at the end, by half a cosine."""
    return 1.0 - 0.5 * (1.0 + math.cos(math.pi * step / num_steps)) * (1.0 - start)


def image_size_at(step: int, num_steps: int, *, start: int, end: int, patch_size: int) -> int:
    """Side of the views: from `start` up to `end`, one patch more at a time.

    The sides below `end` share the first three quarters of the run equally. The last quarter is at `end`, since that is
    the side the encoder will be served at, and one that ends at another side loses by it (FixRes, arXiv:1906.06423).

    Args:
        step: 0-based.
        num_steps: of the whole run.
        start: side at the first step, a multiple of `patch_size`; 0 for `end` throughout.
        end: side at the end, a multiple of `patch_size`, at least `start`.
        patch_size: side of a patch.
    """
    num_smaller = (end - start) // patch_size
    if start == 0 or 4 * step >= 3 * num_steps:
        return end
    return start + patch_size * (4 * step * num_smaller // (3 * num_steps))


def keep_ratio_at(step: int, num_steps: int, *, start: float, end: float) -> float:
    """Share of kept patches: from `start` down to `end` in a line over the first half of the run.

    Args:
        step: 0-based.
        num_steps: of the whole run.
        start: share at the first step; 0 for `end` throughout.
        end: share in the second half.
    """
    if start == 0 or 2 * step >= num_steps:
        return end
    return start + (end - start) * 2 * step / num_steps
