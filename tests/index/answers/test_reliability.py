"""Calibration error, AUROC and the acceptance curve against plain loops."""

import numpy as np
import pytest

from index.answers.logistic import LogisticMap, fit_logistic
from index.answers.reliability import (
    NUM_BINS,
    acceptance_curve,
    auroc,
    calibration_error,
    chance_error,
    reliability_bins,
)


def drawn(num, seed=0):
    generator = np.random.default_rng(seed)
    confidence = generator.random(num)
    return confidence, generator.random(num) < confidence**2


def test_the_calibration_error_is_that_of_a_loop():
    confidence, right = drawn(500)
    confidence[:3] = [0.0, 1.0, 1 / NUM_BINS]
    bins = [[] for _ in range(NUM_BINS)]
    for one, is_right in zip(confidence, right, strict=True):
        bins[min(int(one * NUM_BINS), NUM_BINS - 1)].append((one, is_right))
    gaps = [len(b) * abs(np.mean([c for c, _ in b]) - np.mean([r for _, r in b])) for b in bins if b]
    assert calibration_error(confidence, right) == pytest.approx(sum(gaps) / 500)
    assert sum(one.num for one in reliability_bins(confidence, right)) == 500


def test_perfect_and_worst_confidences():
    right = np.array([True, False, True])
    assert calibration_error(right.astype(float), right) == 0
    assert calibration_error(1 - right.astype(float), right) == 1
    assert calibration_error(np.zeros(0), np.zeros(0, bool)) == 0


def test_the_error_by_chance_shrinks_with_the_questions():
    few, many = (chance_error(drawn(num)[0]) for num in (50, 5000))
    assert 0.02 < many * 4 < few < 0.25


def test_auroc_counts_pairs():
    generator = np.random.default_rng(1)
    negative, positive = generator.integers(0, 9, 40).astype(float), generator.integers(2, 12, 30).astype(float)
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert auroc(negative, positive) == pytest.approx(np.mean(pairs))
    assert auroc(np.array([0.1]), np.array([0.2])) == 1.0


def test_the_acceptance_curve_is_counted():
    known, strangers = np.array([0.1, 0.2, 0.6]), np.array([0.4, 0.7, 0.8, 0.9])
    curve = acceptance_curve(known, strangers)
    assert curve[0] == [0.0, pytest.approx(1 / 3, abs=1e-4)]  # from 0.4 on: no stranger is below, 0.6 is rejected
    assert [one[0] for one in curve] == sorted(one[0] for one in curve)
    assert [one[1] for one in curve] == sorted((one[1] for one in curve), reverse=True)


def test_a_logistic_map_finds_what_made_the_outcomes():
    generator = np.random.default_rng(2)
    features = generator.normal(size=(4000, 2)) * [3, 0.01] + [5, 1]
    probability = 1 / (1 + np.exp(-(features[:, 0] - 5) - 40 * (features[:, 1] - 1)))
    fitted = fit_logistic(features, generator.random(4000) < probability)
    np.testing.assert_allclose(fitted.bulk(features), probability, atol=0.06)
    assert fitted(5.0, 1.0) == pytest.approx(float(fitted.bulk(np.array([[5.0, 1.0]]))[0]))


def test_a_feature_that_speaks_against_is_left_out():
    generator = np.random.default_rng(3)
    features = generator.normal(size=(500, 2))
    fitted = fit_logistic(features, generator.random(500) < 1 / (1 + np.exp(-2 * features[:, 0] + features[:, 1])))
    assert fitted.slopes[1] == 0
    assert fitted.slopes[0] > 0.5
    assert fitted(1.0, -9.0) == fitted(1.0, 9.0) > fitted(0.0, 0.0)


def test_where_all_outcomes_are_alike_nothing_is_certain():
    fitted = fit_logistic(np.linspace(0, 1, 20)[:, None], np.ones(20, np.bool_))
    assert 0.9 < fitted(0.5) < 0.97
    assert isinstance(fitted, LogisticMap)
    constant = fit_logistic(np.ones((30, 2)), np.arange(30) % 3 == 0)
    assert constant(1.0, 1.0) == pytest.approx(10 / 30, abs=0.02)
