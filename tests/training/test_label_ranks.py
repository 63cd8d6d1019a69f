"""Labels and their ranks from sub-folders, numbered for the loss; and what is refused."""

import re

import pytest

from encoder.errors import ConfigError
from training.label_ranks import LabelRanks, folder_ranks, training_labels

NESTED = ["audi/a4/1.jpg", "audi/a4/2.jpg", "audi/3.jpg", "bmw/x5/4.jpg", "5.jpg"]


def test_nested_folders_are_ranks_finest_first():
    ranks = folder_ranks(NESTED, "photos")
    assert len(ranks.names) == 2
    assert [ranks.of[path] for path in NESTED] == [
        ("audi/a4", "audi"), ("audi/a4", "audi"), (None, "audi"), ("bmw/x5", "bmw"), (None, None)
    ]  # fmt: skip


def test_a_model_of_one_name_in_two_makes_is_two_labels():
    ranks = folder_ranks(["audi/100/1.jpg", "volvo/100/2.jpg"], "photos")
    assert ranks.of["audi/100/1.jpg"][0] != ranks.of["volvo/100/2.jpg"][0]


def test_one_level_is_one_rank_and_a_flat_folder_none():
    assert folder_ranks(["red/1.jpg", "2.jpg"], "x").of == {"red/1.jpg": ("red",), "2.jpg": (None,)}
    assert folder_ranks(["1.jpg", "2.jpg"], "x").names == ()


def test_same_numbers_for_same_labels_and_none_for_none():
    paths = [*NESTED, "bmw/x5/6.jpg"]
    labels = training_labels(folder_ranks(paths, "photos"), paths, (1.0, 0.5))
    fine, coarse = labels.number_NR.T.tolist()
    assert fine == [fine[0], fine[0], -1, fine[3], -1, fine[3]]
    assert coarse == [coarse[0], coarse[0], coarse[0], coarse[3], -1, coarse[3]]
    assert fine[0] != fine[3]
    assert coarse[0] != coarse[3]
    assert labels.summary == (
        "training reads labels: 2 at folder depth 2 (weight 1, 2 of 6 pictures without), "
        "2 at folder depth 1 (weight 0.5, 1 of 6 pictures without)"
    )


def test_ranks_beyond_the_weights_are_told_and_not_read():
    labels = training_labels(folder_ranks(NESTED, "photos"), NESTED, (1.0,))
    assert labels.number_NR.shape == (5, 1)
    assert "2 at folder depth 1 (weight 0, 1 of 5 pictures without)" in labels.summary


def test_the_digest_is_that_of_the_labels_that_are_read():
    ranks = folder_ranks(NESTED, "photos")
    same = LabelRanks("elsewhere", ("model", "make"), dict(ranks.of))
    other = LabelRanks("photos", ranks.names, {**ranks.of, "5.jpg": ("bmw/x5", "bmw")})
    digest = training_labels(ranks, NESTED, (1.0,)).digest
    assert training_labels(same, NESTED, (1.0,)).digest == digest
    assert training_labels(other, NESTED, (1.0,)).digest != digest


@pytest.mark.parametrize(
    ("paths", "weights", "message"),
    [
        (["1.jpg", "2.jpg"], (1.0,), "rank_weights has 1 weights, but the ranks of labels in photos are none"),
        (["a/1.jpg", "a/2.jpg", "b/3.jpg"], (1.0, 0.5), "2 weights, but the ranks .* are 1 (folder depth 1)"),
        (["a/1.jpg", "a/2.jpg"], (1.0,), "every picture has the label 'a' at folder depth 1"),
        (["a/b/1.jpg", "a/b/2.jpg", "a/c/3.jpg"], (1.0, 0.5), "every picture has the label 'a' at folder depth 1"),
        (["a/1.jpg", "b/2.jpg", "3.jpg"], (1.0,), "no two of the 3 pictures share a label in photos (2 at folder"),
    ],
)
def test_labels_that_do_not_fit_or_teach_nothing_are_refused(paths, weights, message):
    with pytest.raises(ConfigError, match=re.escape(message).replace(r"\.\*", ".*")):
        training_labels(folder_ranks(paths, "photos"), paths, weights)


def test_one_label_and_pictures_without_can_be_told_apart():
    paths = ["a/1.jpg", "a/2.jpg", "3.jpg"]
    assert training_labels(folder_ranks(paths, "photos"), paths, (1.0,)).number_NR.tolist() == [[0], [0], [-1]]
