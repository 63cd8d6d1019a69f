"""What a step draws: sides, areas, and that what is off draws nothing."""

import pytest
import torch

from training.augmentation import MEAN, STD, normalise, random_views, recolour
from training.pictures import stored_side
from training.recipe import Recipe
from training.views import draw_views

PLAIN = {"jitter_prob": 0.0, "greyscale_prob": 0.0, "blur_prob": (0.0, 0.0), "solarise_prob": (0.0, 0.0)}


def pictures(num=3, image_size=32):
    side = stored_side(image_size)
    noise = torch.randint(0, 256, (num, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    return noise, torch.ones(num)


def draw(recipe, seed=0, image_size=None, pixels=None):
    noise, aspect = pictures(image_size=recipe.image_size)
    pixels = noise if pixels is None else pixels
    generator = torch.Generator().manual_seed(seed)
    return draw_views(pixels, aspect, recipe, generator, image_size or recipe.image_size)


def test_the_two_views_are_two_draws_of_the_augmentation_one_after_the_other():
    recipe = Recipe(image_size=32)
    pixels, aspect = pictures()
    generator = torch.Generator().manual_seed(0)
    expected = []
    for blur, solarise in ((1.0, 0.0), (0.1, 0.2)):
        view = random_views(
            pixels.permute(0, 3, 1, 2).float() / 255, aspect, 32,
            crop_area=(0.08, 1.0), rotation_deg=0.0, flip_prob=0.5, generator=generator,
        )  # fmt: skip
        view = recolour(
            view, jitter=recipe.jitter, jitter_prob=0.8, greyscale_prob=0.2, blur_prob=blur, solarise_prob=solarise,
            generator=generator,
        )  # fmt: skip
        expected.append(normalise(view))
    views = draw(recipe)
    assert torch.equal(views.view1_B3SS, expected[0])
    assert torch.equal(views.view2_B3SS, expected[1])
    assert views.small_MB3SS is None


def test_small_crops_come_after_the_views_and_leave_them_as_they_are():
    recipe = Recipe(image_size=32, num_small_crops=4, small_crop_size=16)
    views, without = draw(recipe), draw(Recipe(image_size=32))
    assert torch.equal(views.view1_B3SS, without.view1_B3SS)
    assert torch.equal(views.view2_B3SS, without.view2_B3SS)
    assert views.small_MB3SS.shape == (4, 3, 3, 16, 16)
    assert not torch.equal(views.small_MB3SS[0], views.small_MB3SS[1])


def test_a_small_crop_shows_no_more_than_its_largest_area():
    """Of a horizontal ramp from 0 to 1, a crop spans as much as it is wide: sqrt(area * 4/3) of it at most."""
    recipe = Recipe(image_size=64, num_small_crops=50, small_crop_size=32, small_crop_area=(0.2, 0.3), **PLAIN)
    side = stored_side(64)
    ramp = (torch.arange(side) / (side - 1) * 255).round().to(torch.uint8).expand(3, 3, side, side).permute(0, 2, 3, 1)
    small = draw(recipe, pixels=ramp).small_MB3SS
    red = small[:, :, 0] * STD[0] + MEAN[0]
    span = red.amax(dim=(-1, -2)) - red.amin(dim=(-1, -2))
    assert span.max() < (0.3 * 4 / 3) ** 0.5
    assert span.min() > 0.9 * (0.2 * 3 / 4) ** 0.5


@pytest.mark.parametrize("size", [16, 32, 48])
def test_views_have_the_side_of_the_step(size):
    views = draw(Recipe(image_size=48), image_size=size)
    assert views.view1_B3SS.shape == views.view2_B3SS.shape == (3, 3, size, size)


def test_smaller_views_are_filtered_not_sampled():
    """Columns of black and white as fine as the pixels are grey when seen from afar, and none of them is skipped."""
    recipe = Recipe(image_size=64, crop_min=1.0, **PLAIN)
    side = stored_side(64)
    stripes = (torch.arange(side) % 2 * 255).to(torch.uint8).expand(3, 3, side, side).permute(0, 2, 3, 1)
    seen = draw(recipe, image_size=16, pixels=stripes).view1_B3SS[:, 0] * STD[0] + MEAN[0]
    inner = seen[:, 2:-2, 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5), rtol=0, atol=0.05)
