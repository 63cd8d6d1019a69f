"""Stored vectors: half precision read back exactly, and scaled to length 1."""

import numpy as np

from index.vectors import units, widened


def test_every_finite_half_is_widened_exactly() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(2, -1)
    found = widened(halves)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.view(np.uint32), halves.astype(np.float32).view(np.uint32))


def test_a_stored_vector_is_left_as_it_was() -> None:
    stored = np.array([[3.0, 4.0]], np.float16)
    units(stored)
    np.testing.assert_array_equal(stored, np.array([[3.0, 4.0]], np.float16))


def test_units_have_length_one_and_zeros_stay() -> None:
    stored = np.array([[3.0, 4.0], [0.0, 0.0], [6e-8, 0.0]], np.float16)
    np.testing.assert_allclose(units(stored), [[0.6, 0.8], [0, 0], [1, 0]], atol=1e-6)
