"""Two augmented views of each picture of a batch, as the recipe asks."""

# B batch, S side of a view.

import numpy as np
import torch
from torch import Generator, Tensor

from training.augmentation import normalise, random_views, recolour
from training.pictures import PictureStore
from training.recipe import Recipe


def batch_order(num_pictures: int, epoch: int, seed: int) -> torch.Tensor:
    """The order of the pictures in an epoch, a function of the seed and the epoch alone (so a resumed run agrees)."""
    return torch.randperm(num_pictures, generator=step_generator(torch.device("cpu"), seed, epoch, -1))


def step_generator(device: torch.device, seed: int, epoch: int, step: int) -> Generator:
    """A generator for one step, seeded by where in the run it is.

    Nothing random is carried from one step to the next, so a run that was interrupted has no generator to restore.
    """
    entropy = np.random.SeedSequence([seed, epoch, step + 1]).generate_state(2, np.uint32)
    return Generator(device).manual_seed(int(entropy[0]) << 31 ^ int(entropy[1]))


def two_views(store: PictureStore, rows_B: Tensor, recipe: Recipe, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw view 1 and view 2 of the pictures `rows_B`, normalised, float32, each shape (B, 3, S, S)."""
    device = generator.device
    pixels = torch.from_numpy(store.pixels_NQQ3[rows_B.numpy()]).to(device, non_blocking=True)
    aspect_B = torch.from_numpy(store.aspect_N[rows_B.numpy()]).to(device)
    pictures = pixels.permute(0, 3, 1, 2).float() / 255
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
