"""Each operation against Pillow, a hand-made case, or its own statistics."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from training.augmentation import (
    MEAN,
    STD,
    colour_jitter,
    gaussian_blur,
    greyscale,
    normalise,
    random_views,
    recolour,
    shift_hue,
    uniform,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pictures():
    return torch.rand(4, 3, 24, 24, generator=generator(9))


def views(pictures, size=24, aspect=1.0, area=(1.0, 1.0), rotation=0.0, flip=0.0, seed=0):
    return random_views(
        pictures,
        torch.full((len(pictures),), aspect),
        size,
        crop_area=area,
        rotation_deg=rotation,
        flip_prob=flip,
        generator=generator(seed),
    )


def as_picture(view):
    return Image.fromarray((view * 255).round().byte().permute(1, 2, 0).numpy())


def test_mirroring_is_exact_where_the_whole_picture_is_the_crop(pictures):
    """With aspect jitter clamped to the whole picture in one direction only, compare on a picture of columns."""
    columns = torch.linspace(0, 1, 24).expand(4, 3, 24, 24).contiguous()
    plain, mirrored = views(columns, seed=3), views(columns, flip=1.0, seed=3)
    assert plain.diff(dim=3).mean() > 0
    assert mirrored.diff(dim=3).mean() < 0
    assert plain.diff(dim=2).abs().max() < 1e-5  # rows stay rows


def test_crop_areas_have_the_asked_range():
    """A picture whose red is x and green is y tells by its corners where the crop was."""
    side = 256
    ramp = (torch.arange(side) + 0.5) / side
    picture = torch.stack([ramp.expand(side, side), ramp[:, None].expand(side, side), torch.zeros(side, side)])
    batch = picture.expand(400, -1, -1, -1)
    aspect = 1.6
    out = views(batch, size=16, aspect=aspect, area=(0.2, 0.6), seed=1)
    # Pixel centres span 15/16 of the crop.
    width = (out[:, 0].amax((1, 2)) - out[:, 0].amin((1, 2))) * 16 / 15
    height = (out[:, 1].amax((1, 2)) - out[:, 1].amin((1, 2))) * 16 / 15
    area, true_aspect = width * height, width * aspect / height
    assert 0.19 < area.min() < 0.23
    assert 0.55 < area.max() < 0.61
    assert area.mean() == pytest.approx(0.4, abs=0.02)
    assert true_aspect.min() > 0.74
    assert true_aspect.max() < 1.35


def test_a_turn_keeps_right_angles_of_the_true_picture():
    """In a picture twice as wide as high, equal steps of the output are equal steps in the true picture."""
    side, aspect = 200, 2.0
    ramp = (torch.arange(side) + 0.5) / side
    picture = torch.stack([ramp.expand(side, side) * aspect, ramp[:, None].expand(side, side), torch.zeros(side, side)])
    out = views(picture[None], size=32, aspect=aspect, area=(0.05, 0.05), rotation=40.0, seed=4)[0]
    step_x = torch.stack([out[0, 16, 17] - out[0, 16, 15], out[1, 16, 17] - out[1, 16, 15]])
    step_y = torch.stack([out[0, 17, 16] - out[0, 15, 16], out[1, 17, 16] - out[1, 15, 16]])
    cosine = float((step_x @ step_y) / (step_x.norm() * step_y.norm()))
    assert abs(cosine) < 0.02
    assert abs(math.degrees(math.atan2(step_x[1], step_x[0]))) > 1  # it did turn


def test_greyscale_is_pillows(pictures):
    expected = np.asarray(as_picture(pictures[0]).convert("L"), dtype=np.float32)
    assert np.abs(greyscale(pictures)[0, 0].numpy() * 255 - expected).max() < 1.1


@pytest.mark.parametrize("enhance", ["Brightness", "Contrast", "Color"])
def test_colour_changes_are_pillows(enhance, pictures):
    """A strength of one change only; the factor is read off the draw that the function makes."""
    strength = [0.0, 0.0, 0.0, 0.0]
    strength[["Brightness", "Contrast", "Color"].index(enhance)] = 0.4
    out = colour_jitter(pictures, tuple(strength), generator(7))
    draws = generator(7)
    order = torch.randperm(4, generator=draws).tolist()
    factors = {}
    for change in order:
        s = strength[change] if change < 3 else 0.0
        factors[change] = uniform(1 - s, 1 + s, len(pictures), draws) if change < 3 else uniform(0, 0, 4, draws)
    factor = factors[["Brightness", "Contrast", "Color"].index(enhance)]
    for picture, result, f in zip(pictures, out, factor, strict=True):
        expected = np.asarray(getattr(ImageEnhance, enhance)(as_picture(picture)).enhance(float(f)), dtype=np.float32)
        assert np.abs(result.permute(1, 2, 0).numpy() * 255 - expected).max() < 2.5


def test_hue_by_thirds_turns_red_into_green_into_blue():
    red = torch.tensor([1.0, 0.2, 0.2]).view(1, 3, 1, 1)
    third = torch.tensor([1 / 3])
    green = shift_hue(red, third)
    assert green.flatten().tolist() == pytest.approx([0.2, 1.0, 0.2], abs=1e-5)
    assert shift_hue(green, third).flatten().tolist() == pytest.approx([0.2, 0.2, 1.0], abs=1e-5)


def test_hue_of_nothing_changes_nothing(pictures):
    torch.testing.assert_close(shift_hue(pictures, torch.zeros(4)), pictures, atol=1e-6, rtol=0)
    grey = torch.full((1, 3, 2, 2), 0.4)
    torch.testing.assert_close(shift_hue(grey, torch.tensor([0.3])), grey)


def test_blur_is_a_gaussian_of_each_pictures_own_sigma():
    point = torch.zeros(2, 1, 31, 31)
    point[:, :, 15, 15] = 1
    sigma = torch.tensor([1.0, 2.0])
    out = gaussian_blur(point.expand(-1, 3, -1, -1), sigma)
    offset = torch.arange(-15, 16).float()
    for picture, s in zip(out, sigma, strict=True):
        weight = (-0.5 * (offset / s) ** 2).exp()
        weight = torch.where(offset.abs() <= 6, weight, 0)
        weight = weight / weight.sum()
        torch.testing.assert_close(picture[0], weight[:, None] * weight[None, :], atol=1e-6, rtol=1e-4)


def test_solarise_is_pillows(pictures):
    out = recolour(
        pictures,
        jitter=(0, 0, 0, 0),
        jitter_prob=0,
        greyscale_prob=0,
        blur_prob=0,
        solarise_prob=1,
        generator=generator(),
    )
    expected = np.asarray(ImageOps.solarize(as_picture(pictures[0]), 128), dtype=np.float32)
    assert np.abs(out[0].permute(1, 2, 0).numpy() * 255 - expected).max() < 2


def test_probabilities_hold():
    pictures = torch.rand(2000, 3, 4, 4, generator=generator(2))
    out = recolour(
        pictures,
        jitter=(0, 0, 0, 0),
        jitter_prob=0,
        greyscale_prob=0.2,
        blur_prob=0,
        solarise_prob=0,
        generator=generator(1),
    )
    grey = (out[:, 0] - out[:, 1]).abs().amax((1, 2)) < 1e-6
    assert float(grey.float().mean()) == pytest.approx(0.2, abs=0.03)
    assert torch.equal(out[~grey], pictures[~grey])


def test_values_stay_in_range_and_are_a_function_of_the_seed(pictures):
    def run(seed):
        return recolour(
            views(pictures, area=(0.1, 1.0), rotation=30, flip=0.5, seed=seed),
            jitter=(0.4, 0.4, 0.2, 0.1), jitter_prob=0.8, greyscale_prob=0.2, blur_prob=1.0, solarise_prob=0.2,
            generator=generator(seed),
        )  # fmt: skip

    out = run(1)
    assert out.min() >= 0
    assert out.max() <= 1 + 1e-5
    assert torch.equal(out, run(1))
    assert not torch.equal(out, run(2))


def test_the_mean_colour_becomes_zero():
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    assert normalise(mean).abs().max() == 0
    torch.testing.assert_close(normalise(mean + torch.tensor(STD).view(1, 3, 1, 1)), torch.ones(1, 3, 1, 1))
