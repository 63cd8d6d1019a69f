"""Pointing by hand, and the demo's encoder against as many patches drawn at random."""

from pathlib import Path

import numpy as np
import pytest

from lodisc.insects.pointing import Mark, mark_shares, measure_pointing, pivotal_patches, read_marks, score_pointing
from lodisc.insects.specimens import write_specimens

BUNDLES = Path(__file__).parents[2] / "bundles"


def test_a_mark_is_spread_over_the_patches_it_lies_in():
    """A view of 40 x 40 pixels at (10, 0) of the file, 2 x 2 patches of 20."""
    marks = [Mark(20, 10, 5), Mark(30, 10, 5), Mark(30, 20, 8), Mark(10, 10, 6), Mark(100, 10, 5)]
    shares = mark_shares(marks, (10, 0, 50, 40), (2, 2))
    expected = [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(shares, expected, atol=1e-9)


def test_area_is_that_of_a_disc():
    """What a chord at half the radius cuts off: (arccos(1/2) - sqrt(3)/4) / pi = 19.55 % of the disc."""
    shares = mark_shares([Mark(25, 10, 10)], (0, 0, 40, 20), (1, 2))
    assert shares[0, 0] == pytest.approx(0.1955, abs=0.01)


def test_pictures_marks_and_area_by_hand():
    shares = [np.array([[1.0, 0, 0], [0, 0.4, 0.6]]), np.array([[0, 0.5, 0.5]])]
    masks = [np.array([True, False, True]), np.array([False, True, False])]
    found = score_pointing(shares, masks)
    assert (found.pictures, found.marks, found.patches) == (0.5, pytest.approx(2 / 3), 1.5)
    assert found.area == pytest.approx((1 + 0.6 + 0.5) / 3)


def test_pivotal_patches_are_the_rule_of_training():
    scores = np.random.default_rng(0).integers(0, 9, (200, 36)).astype(np.float32)
    for row in scores:
        threshold = sorted(row.tolist(), reverse=True)[10]
        assert pivotal_patches(row).tolist() == [score > threshold for score in row.tolist()]


@pytest.mark.slow
def test_the_demos_encoder_looks_at_the_marks(tmp_path):
    specimens = write_specimens(tmp_path / "insects", specimens_per_species=3, train_per_species=1)
    marks = read_marks(specimens, "test")
    assert len(marks) == 60
    assert all(of_picture for of_picture in marks.values())
    found = measure_pointing(specimens, {"demo": BUNDLES / "demo", "untrained": BUNDLES / "demo-untrained"})
    assert list(found) == ["demo", "untrained", "random patches"]
    assert found["random patches"].patches == found["demo"].patches == 10.0
    assert found["random patches"].area == pytest.approx(10 / 36, abs=0.02)
    assert found["demo"].marks > found["untrained"].marks > found["random patches"].marks
