"""Schedules at points worked out by hand."""

import itertools

import pytest

from training.schedule import learning_rate, momentum_at


def test_learning_rate_rises_then_falls_by_a_cosine():
    rates = [learning_rate(step, 100, base_lr=2.0, warmup=0.1) for step in range(100)]
    assert rates[0] == 0.0
    assert rates[5] == pytest.approx(1.0)
    assert rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx(1.0)  # half way down
    assert rates[99] == pytest.approx(0.0, abs=1e-3)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_without_warmup_the_peak_is_first():
    assert learning_rate(0, 10, base_lr=1.0, warmup=0.0) == 1.0


def test_all_warmup_never_divides_by_zero():
    assert learning_rate(9, 10, base_lr=1.0, warmup=1.0) == pytest.approx(0.9)


def test_momentum_rises_to_one():
    assert momentum_at(0, 50, start=0.99) == pytest.approx(0.99)
    assert momentum_at(25, 50, start=0.99) == pytest.approx(0.995)
    assert momentum_at(50, 50, start=0.99) == pytest.approx(1.0)
