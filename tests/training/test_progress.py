"""How much of a run is done, by which the time that is left is told."""

import pytest

from training.progress import work_of
from training.recipe import Recipe
from training.schedule import settings_at


def test_steps_count_by_the_pixels_of_their_views():
    recipe = Recipe(encoder="nano", image_size=64, image_size_start=32, patch_size=16)
    pixels = [settings_at(step, 40, recipe).image_size ** 2 for step in range(40)]
    work = work_of(recipe, 40)
    assert (len(work), work[0], work[40]) == (41, 0.0, 1.0)
    for step in (1, 17, 30):
        assert work[step] == pytest.approx(sum(pixels[:step]) / sum(pixels))
    assert work[20] < 0.4  # half of the steps, and the cheaper ones


def test_steps_of_one_side_count_alike():
    recipe = Recipe(encoder="nano", image_size=64, patch_size=16)
    assert work_of(recipe, 4).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert work_of(recipe, 0).tolist() == [0.0]
