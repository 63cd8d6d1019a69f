"""The vote by hand-worked cases."""

import pytest

from index.items import Match
from index.vote import vote


def match(score, **labels):
    return Match(f"{score}", score, labels, {})


def test_a_near_neighbour_outweighs_several_far_ones():
    matches = [match(0.9, species="a"), match(0.3, species="b"), match(0.25, species="b"), match(0.2, species="b")]
    prediction = vote(matches)
    assert (prediction.label, prediction.rank) == ("a", "species")
    assert prediction.confidence == pytest.approx(0.9 / 1.65)


def test_two_of_three_alike_have_about_two_thirds():
    matches = [match(0.97, label="x"), match(0.95, label="x"), match(0.93, label="y")]
    assert vote(matches).confidence == pytest.approx((0.97 + 0.95) / 2.85)


def test_neighbours_on_the_far_side_have_no_vote():
    assert vote([match(0.2, label="x"), match(-0.9, label="y")]).confidence == 1.0
    assert vote([match(-0.1, label="x")]).confidence == 0.0


def test_one_label_has_the_whole_vote():
    assert vote([match(0.5, label="x"), match(0.4, label="x")]).confidence == 1.0
    assert vote([match(0.5, label="x")]).confidence == 1.0


def test_a_tie_goes_to_the_nearer():
    assert vote([match(0.5, label="x"), match(0.5, label="y")]).label == "x"


def test_without_labels_nothing_is_invented():
    for matches in ([], [match(0.9)]):
        prediction = vote(matches)
        assert (prediction.label, prediction.confidence, prediction.unknown, prediction.unknown_score) == (None,) * 4


def test_the_finest_rank_is_named():
    assert vote([match(0.9, species="pica", genus="Pica")]).rank == "species"
