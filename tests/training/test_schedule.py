"""Schedules at points worked out by hand."""

import itertools

import pytest

from training.recipe import Recipe
from training.schedule import image_size_at, keep_ratio_at, learning_rate, momentum_at, settings_at


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


def test_momentum_rises_to_one():
    assert momentum_at(0, 50, start=0.99) == pytest.approx(0.99)
    assert momentum_at(25, 50, start=0.99) == pytest.approx(0.995)
    assert momentum_at(50, 50, start=0.99) == pytest.approx(1.0)


def test_views_grow_by_a_patch_in_equal_stretches_and_end_at_their_size():
    sides = [image_size_at(step, 120, start=64, end=112, patch_size=16) for step in range(120)]
    assert sides == [64] * 30 + [80] * 30 + [96] * 30 + [112] * 30


def test_fewer_steps_than_sizes_still_end_at_the_size():
    assert [image_size_at(step, 4, start=16, end=224, patch_size=16) for step in range(4)] == [16, 80, 144, 224]
    assert image_size_at(0, 1, start=16, end=224, patch_size=16) == 16


@pytest.mark.parametrize("step", [0, 50, 99])
def test_a_start_of_0_or_of_the_end_is_no_schedule(step):
    assert image_size_at(step, 100, start=0, end=96, patch_size=12) == 96
    assert image_size_at(step, 100, start=96, end=96, patch_size=12) == 96
    assert keep_ratio_at(step, 100, start=0.0, end=0.3) == 0.3
    assert keep_ratio_at(step, 100, start=0.3, end=0.3) == pytest.approx(0.3)


def test_the_share_of_kept_patches_falls_over_the_first_half():
    ratios = [keep_ratio_at(step, 100, start=0.9, end=0.3) for step in range(100)]
    assert ratios[0] == 0.9
    assert ratios[25] == pytest.approx(0.6)
    assert ratios[50:] == [0.3] * 50
    assert all(a > b for a, b in itertools.pairwise(ratios[:51]))


def test_the_settings_of_a_step_are_the_recipes():
    recipe = Recipe(lr=1.0, batch_size=512, warmup=0.0, image_size=64, image_size_start=32, keep_ratio_start=0.7)
    settings = settings_at(0, 8, recipe)
    assert (settings.lr, settings.momentum, settings.image_size, settings.keep_ratio) == (2.0, 0.99, 32, 0.7)
    settings = settings_at(6, 8, recipe)
    assert (settings.image_size, settings.keep_ratio) == (64, 0.3)
