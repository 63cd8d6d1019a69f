"""The colour histogram: worked by hand, and against a loop."""

import numpy as np

from encoder.histogram import color_histogram


def test_black_and_white_by_hand():
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 0] = 255
    histogram = color_histogram(picture)
    assert histogram.dtype == np.float32
    assert histogram.shape == (216,)
    assert histogram[0] == np.float32(np.sqrt(3 / 4))
    assert histogram[215] == 0.5
    assert np.count_nonzero(histogram) == 2


def test_each_channel_has_its_place():
    for channel, cell in enumerate((5 * 36, 5 * 6, 5)):
        picture = np.zeros((1, 1, 3), np.uint8)
        picture[..., channel] = 255
        assert color_histogram(picture).argmax() == cell


def test_bins_are_of_equal_width():
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    counts = np.rint(color_histogram(greys)[[0, 43, 86, 129, 172, 215]] ** 2 * 256)
    assert counts.tolist() == [43, 43, 42, 43, 43, 42]


def test_equals_a_loop():
    picture = np.random.default_rng(2).integers(0, 256, (9, 13, 3), np.uint8)
    counts = np.zeros(216)
    for red, green, blue in picture.reshape(-1, 3).astype(int):
        counts[36 * (red * 6 // 256) + 6 * (green * 6 // 256) + blue * 6 // 256] += 1
    found = color_histogram(picture)
    np.testing.assert_allclose(found, np.sqrt(counts / (9 * 13)), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found), 1, rtol=1e-6)


def test_the_size_and_the_order_of_pixels_do_not_matter():
    picture = np.random.default_rng(3).integers(0, 256, (8, 8, 3), np.uint8)
    larger = picture.repeat(3, axis=0).repeat(2, axis=1)[::-1]
    np.testing.assert_allclose(color_histogram(larger), color_histogram(picture), rtol=1e-6)
