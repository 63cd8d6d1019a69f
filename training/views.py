"""Two augmented views of each picture of a batch, and small crops of it, as the recipe asks."""

# B batch, Q side of a stored picture, S side of a view, M small crops of a picture.

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from training.augmentation import normalise, random_views, recolour
from training.pictures import stored_side
from training.recipe import Recipe


@dataclass(frozen=True)
class Views:
    """What a step draws of its pictures, normalised, float32.

    Attributes:
        view1_B3SS: view 1 of each picture, shape (B, 3, S, S).
        view2_B3SS: view 2, same shape.
        small_MB3SS: small crops, of a side of their own, shape (M, B, 3, S, S); None if there are none.
    """

    view1_B3SS: Tensor
    view2_B3SS: Tensor
    small_MB3SS: Tensor | None


def batch_order(num_pictures: int, epoch: int, seed: int) -> torch.Tensor:
    """The order of the pictures in an epoch, a function of the seed and the epoch alone (so a resumed run agrees)."""
    return torch.randperm(num_pictures, generator=step_generator(torch.device("cpu"), seed, epoch, -1))


def step_generator(device: torch.device, seed: int, epoch: int, step: int, rank: int = 0) -> Generator:
    """A generator for one step of one process, seeded by where in the run it is.

    Nothing random is carried from one step to the next, so a run that was interrupted has no generator to restore.
    """
    entropy = np.random.SeedSequence([seed, epoch, step + 1, *([rank] if rank else [])]).generate_state(2, np.uint32)
    return Generator(device).manual_seed(int(entropy[0]) << 31 ^ int(entropy[1]))


def draw_views(pixels_BQQ3: Tensor, aspect_B: Tensor, recipe: Recipe, generator: Generator, image_size: int) -> Views:
    """Draw view 1 and view 2 of each picture, then its small crops.

    Args:
        pixels_BQQ3: stored pictures, uint8, shape (B, Q, Q, 3), on the generator's device.
        aspect_B: width / height of each before it was squeezed, shape (B,).
        recipe: what the augmentation is.
        generator: source of all draws.
        image_size: side of the two views in this step.
    """
    pictures = pixels_BQQ3.permute(0, 3, 1, 2).float() / 255

    def draw(pictures: Tensor, size: int, crop_area: tuple[float, float], blur: float, solarise: float) -> Tensor:
        view = random_views(
            pictures,
            aspect_B,
            size,
            crop_area=crop_area,
            rotation_deg=recipe.rotation_deg,
            flip_prob=recipe.flip_prob,
            generator=generator,
        )
        view = recolour(
            view,
            jitter=recipe.jitter,
            jitter_prob=recipe.jitter_prob,
            greyscale_prob=recipe.greyscale_prob,
            blur_prob=blur,
            solarise_prob=solarise,
            generator=generator,
        )
        return normalise(view)

    area = (recipe.crop_min, recipe.crop_max)
    reduced = _reduced(pictures, image_size, area[1])
    view1, view2 = (
        draw(reduced, image_size, area, *probs) for probs in zip(recipe.blur_prob, recipe.solarise_prob, strict=True)
    )
    if recipe.num_small_crops == 0:
        return Views(view1, view2, None)
    # A small crop meets the keys of both views, so it is blurred and solarised as often as those are on average (0.55
    # and 0.1 by default; DINO, arXiv:2104.14294, blurs half of its small crops and solarises none).
    probs = sum(recipe.blur_prob) / 2, sum(recipe.solarise_prob) / 2
    reduced = _reduced(pictures, recipe.small_crop_size, recipe.small_crop_area[1])
    small = [
        draw(reduced, recipe.small_crop_size, recipe.small_crop_area, *probs) for _ in range(recipe.num_small_crops)
    ]
    return Views(view1, view2, torch.stack(small))


def _reduced(pictures_B3QQ: Tensor, size: int, largest_area: float) -> Tensor:
    """The pictures as small as they would be stored for crops of this size; as they are if they are no larger.

    The crop's own resampling has no filter, so it must not skip pixels. At the recipe's image size nothing is done.
    """
    side = round(stored_side(size) / largest_area**0.5)
    if side >= pictures_B3QQ.shape[-1]:
        return pictures_B3QQ
    return functional.interpolate(pictures_B3QQ, size=(side, side), mode="bilinear", antialias=True)
