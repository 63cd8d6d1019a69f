"""What is held out is a function of the names and the seed, and never trained on."""

import pytest
from pictures import write_picture_folder

from encoder.errors import ConfigError
from training.holdout import divide
from training.layouts import Listing, list_split


@pytest.fixture
def listing(tmp_path):
    return list_split(write_picture_folder(tmp_path / "photos", per_label=30), "folder", "train", labelled=True)


def names(listing):
    return {path.as_posix() for path in listing.paths}


def test_the_two_parts_are_the_whole_and_share_nothing(listing, tmp_path):
    division = divide(listing, tmp_path / "photos", 0.3, seed=0)
    assert names(division.trained) | names(division.held_out) == names(listing)
    assert names(division.trained) & names(division.held_out) == set()
    assert 0.15 * 90 < len(division.held_out.paths) < 0.45 * 90
    for part in (division.trained, division.held_out):
        assert [path.parent.name for path in part.paths] == part.labels


def test_more_pictures_do_not_move_the_others(listing, tmp_path):
    """A run on a folder that grew holds the same pictures out, so two runs can be compared."""
    before = divide(listing, tmp_path / "photos", 0.3, seed=0)
    half = Listing(listing.paths[::2], listing.labels[::2], 0)
    after = divide(half, tmp_path / "photos", 0.3, seed=0)
    assert names(after.held_out) == names(before.held_out) & names(half)


def test_the_seed_chooses(listing, tmp_path):
    one, other = (divide(listing, tmp_path / "photos", 0.3, seed=seed).held_out for seed in (0, 1))
    assert names(one) != names(other)


def test_none_held_out(listing, tmp_path):
    division = divide(listing, tmp_path / "photos", 0.0, seed=0)
    assert division.held_out is None
    assert division.trained is listing


def test_pictures_without_labels_are_trained_on(listing, tmp_path):
    unlabelled = Listing(listing.paths, [None if n < 45 else label for n, label in enumerate(listing.labels)], 0)
    division = divide(unlabelled, tmp_path / "photos", 0.5, seed=0)
    assert None not in division.held_out.labels
    assert names(unlabelled) - names(division.held_out) == names(division.trained)


@pytest.mark.parametrize("labels", [["a"] * 90, [f"only {n}" for n in range(90)]])
def test_labels_that_cannot_measure_retrieval_are_refused(listing, tmp_path, labels):
    with pytest.raises(ConfigError, match="too few to measure retrieval"):
        divide(Listing(listing.paths, labels, 0), tmp_path / "photos", 0.3, seed=0)
