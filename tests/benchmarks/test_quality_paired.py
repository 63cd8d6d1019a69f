"""The interval of a difference over seeds and pictures: against a loop, and against what its variance must be."""

import numpy as np
import pytest
from quality_paired import paired_difference

from encoder.bootstrap import NUM_DRAWS, confidence_interval


def naive(first, second):
    """The drawn table is written out, cell by cell."""
    generator = np.random.default_rng(0)
    means = []
    for _ in range(NUM_DRAWS):
        seeds = generator.integers(0, len(first), len(first))
        queries = generator.integers(0, len(first[0]), len(first[0]))
        drawn = [first[s][q] - second[s][q] for s in seeds for q in queries]
        means.append(sum(drawn) / len(drawn))
    return np.quantile(means, [0.025, 0.975])


def test_equals_a_loop():
    first, second = np.random.default_rng(1).random((2, 3, 7))
    found = paired_difference(first, second)
    assert found.value == pytest.approx(np.mean(first) - np.mean(second))
    assert (found.low, found.high) == pytest.approx(tuple(naive(first.tolist(), second.tolist())))
    assert found.by_seed == pytest.approx((first - second).mean(axis=1).tolist())


def test_pairing_takes_out_what_both_methods_share():
    """Pictures are far apart in how hard they are, and one method is always better by as much."""
    second = np.tile(np.random.default_rng(2).random(50), (3, 1))
    found = paired_difference(second + 0.01, second)
    assert (found.value, found.low, found.high) == pytest.approx((0.01, 0.01, 0.01))


def test_of_one_seed_it_is_the_interval_over_pictures():
    values = (np.random.default_rng(3).random((1, 400)) < 0.4).astype(np.float64)
    found = paired_difference(values, np.zeros_like(values))
    expected = confidence_interval(values[0])
    assert (found.low, found.high) == pytest.approx(expected, abs=0.01)


def test_seeds_that_disagree_widen_it_however_many_pictures_there_are():
    """All pictures of a seed are alike, so the draws of the seeds alone decide: all three the worst in 1 of 27."""
    first = np.repeat([[0.0], [0.3], [0.6]], 1000, axis=1)
    found = paired_difference(first, np.zeros_like(first))
    assert found.value == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((0.0, 0.6))


def test_variance_is_that_of_both_factors():
    """Seed and picture effects that add up: the variances of the two means do, with their divisors of n."""
    generator = np.random.default_rng(4)
    seeds, pictures = generator.normal(0, 1, (20, 1)), generator.normal(0, 3, (1, 300))
    found = paired_difference(seeds + pictures, np.zeros((20, 300)))
    deviation = np.sqrt(seeds.var() / 20 + pictures.var() / 300)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * deviation, rel=0.12)


def test_other_pictures_cannot_be_compared():
    with pytest.raises(ValueError, match="expected the same"):
        paired_difference(np.zeros((3, 5)), np.zeros((3, 6)))
