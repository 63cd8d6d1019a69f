"""Bootstrap intervals against what the binomial distribution says."""

import numpy as np
import pytest

from encoder.bootstrap import confidence_interval


@pytest.mark.parametrize(("share", "num"), [(0.5, 400), (0.9, 400), (0.2, 2000)])
def test_the_interval_of_a_share_is_the_normal_one(share, num):
    """Of n answers of which a share p is right, 95 % of the draws are within 1.96 sqrt(p (1 - p) / n)."""
    low, high = confidence_interval((np.arange(num) < share * num).astype(np.float64))
    half = 1.96 * (share * (1 - share) / num) ** 0.5
    assert low == pytest.approx(share - half, abs=0.15 * half)
    assert high == pytest.approx(share + half, abs=0.15 * half)


def test_it_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        low, high = confidence_interval((rng.random(150) < 0.3).astype(np.float64))
        covered += low <= 0.3 <= high
    assert 180 <= covered <= 199


def test_equal_values_leave_no_doubt_and_no_values_no_interval():
    assert confidence_interval(np.ones(20)) == (1.0, 1.0)
    assert confidence_interval(np.empty(0)) == (0.0, 0.0)


def test_the_same_values_give_the_same_interval():
    values = np.random.default_rng(2).random(50)
    assert confidence_interval(values) == confidence_interval(values)
