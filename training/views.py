"""Two augmented views of each picture of a batch, as the recipe asks."""

# B batch, S side of a view.

import numpy as np
import torch
from torch import Generator, Tensor

from training.augmentation import normalise, random_views, recolour
from training.recipe import Recipe


def batch_order(num_pictures: int, epoch: int, seed: int) -> torch.Tensor:
    """The order of the pictures in an epoch, a function of the seed and the epoch alone (so a resumed run agrees)."""
    return torch.randperm(num_pictures, generator=step_generator(torch.device("cpu"), seed, epoch, -1))


def step_generator(device: torch.device, seed: int, epoch: int, step: int, rank: int = 0) -> Generator:
    """A generator for one step of one process, seeded by where in the run it is.

    Nothing random is carried from one step to the next, so a run that was interrupted has no generator to restore.
    """
    entropy = np.random.SeedSequence([seed, epoch, step + 1, *([rank] if rank else [])]).generate_state(2, np.uint32)
    return Generator(device).manual_seed(int(entropy[0]) << 31 ^ int(entropy[1]))


def two_views(pixels_BQQ3: Tensor, aspect_B: Tensor, recipe: Recipe, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw view 1 and view 2 of each picture.

    Args:
        pixels_BQQ3: stored pictures, uint8, shape (B, Q, Q, 3), on the generator's device.
        aspect_B: width / height of each before it was squeezed, shape (B,).
        recipe: what the augmentation is.
        generator: source of all draws.

    Returns:
        Normalised views, float32, each shape (B, 3, S, S).
    """
    pictures = pixels_BQQ3.permute(0, 3, 1, 2).float() / 255
    views = []
    for blur_prob, solarise_prob in zip(recipe.blur_prob, recipe.solarise_prob, strict=True):
        view = random_views(
            pictures,
            aspect_B,
            recipe.image_size,
            crop_area=(recipe.crop_min, recipe.crop_max),
            rotation_deg=recipe.rotation_deg,
            flip_prob=recipe.flip_prob,
            generator=generator,
        )
        view = recolour(
            view,
            jitter=recipe.jitter,
            jitter_prob=recipe.jitter_prob,
            greyscale_prob=recipe.greyscale_prob,
            blur_prob=blur_prob,
            solarise_prob=solarise_prob,
            generator=generator,
        )
        views.append(normalise(view))
    return views[0], views[1]
