"""Oriented gradients: against loops over pixels and blocks, and by hand."""

import math

import numpy as np
import pytest

from encoder.histogram import color_histogram
from encoder.hog import hog, hog_and_color, hog_of_square


def naive(grey):
    """Written pixel by pixel from Dalal & Triggs."""
    height, width = grey.shape
    cells = np.zeros((height // 8, width // 8, 9))
    for y in range(height):
        for x in range(width):
            dx = (float(grey[y, min(x + 1, width - 1)]) - float(grey[y, max(x - 1, 0)])) / 255
            dy = (float(grey[min(y + 1, height - 1), x]) - float(grey[max(y - 1, 0), x])) / 255
            degrees = math.degrees(math.atan2(dy, dx)) % 180
            for orientation in range(9):
                apart = abs(degrees - (20 * orientation + 10))
                share = 1 - min(apart, 180 - apart) / 20
                cells[y // 8, x // 8, orientation] += max(0.0, share) * math.hypot(dx, dy)
    blocks = []
    for row in range(height // 8 - 1):
        for column in range(width // 8 - 1):
            block = np.concatenate([cells[row + i, column + j] for i in (0, 1) for j in (0, 1)])
            block = np.minimum(block / math.sqrt((block**2).sum() + 1e-10), 0.2)
            blocks.append(block / math.sqrt((block**2).sum() + 1e-10))
    return np.concatenate(blocks)


def test_equals_loops():
    picture = np.random.default_rng(0).integers(0, 256, (24, 40)).astype(np.uint8)
    found = hog(picture)
    assert found.dtype == np.float32
    assert found.shape == (2 * 4 * 4 * 9,)
    np.testing.assert_allclose(found, naive(picture), atol=1e-6)


def test_an_upright_edge_votes_for_the_two_orientations_beside_zero():
    picture = np.zeros((16, 16), np.uint8)
    picture[:, 4:] = 255
    votes = hog(picture).reshape(4, 9)
    # The gradient points across, at 0 degrees: halfway between the bins at 10 and at 170. Only the left cells see it.
    np.testing.assert_allclose(votes[[0, 2]][:, [0, 8]], 0.5, rtol=1e-6)
    assert votes[[1, 3]].max() == 0
    assert votes[:, 1:8].max() == 0


def test_light_and_contrast_do_not_matter():
    picture = np.random.default_rng(1).integers(0, 100, (16, 16)).astype(np.uint8)
    np.testing.assert_allclose(hog(picture * 2 + 50), hog(picture), atol=1e-5)


def test_a_flat_picture_has_no_gradients_and_its_colour_still_counts():
    flat = np.full((96, 96, 3), 90, np.uint8)
    assert not hog_of_square(flat).any()
    np.testing.assert_allclose(np.linalg.norm(hog_and_color(flat, flat)), 0.5**0.5, rtol=1e-6)


def test_joined_a_dot_product_is_the_mean_of_both_cosines():
    one, other = np.random.default_rng(2).integers(0, 256, (2, 96, 96, 3)).astype(np.uint8)
    gradients = [hog_of_square(picture) / np.linalg.norm(hog_of_square(picture)) for picture in (one, other)]
    colours = [color_histogram(picture) for picture in (one, other)]
    expected = (gradients[0] @ gradients[1] + colours[0] @ colours[1]) / 2
    assert hog_and_color(one, one) @ hog_and_color(other, other) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(96, 90), (8, 8)])
def test_a_picture_of_another_size_is_refused(shape):
    with pytest.raises(ValueError, match="multiples of 8"):
        hog(np.zeros(shape, np.uint8))
