"""The vote by hand-worked cases and against a naive reference."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from index.answers.calibration import Calibration, RankCalibration, UnknownModel
from index.answers.lineages import find_homonyms
from index.answers.logistic import LogisticMap
from index.answers.shares import photo_vote
from index.answers.vote import predict
from index.items import Match

RANKS = ("species", "genus")


def match(score, item_id=None, **labels):
    return Match(item_id or f"{score}", score, labels, {})


def a_rank(slope=1.0, offset=0.0):
    """A confidence of the share itself where slope is 1 and k large."""
    return RankCalibration(
        map=LogisticMap([0.0, 0.0], [1.0, 1.0], [slope, 0.0], offset), others=1.0, num_questions=100, num_alone=0,
        accuracy=0.5, first_accuracy=0.5, error_before=0.1, error=0.01, error_by_chance=0.01, coverage=0.5,
        sure_accuracy=0.9, bins=[],
    )  # fmt: skip


CALIBRATION = Calibration(
    encoder_id="e", change=1, num_items=9, num_questions=9, asked="leave one out", group=None, seed=0, k=3,
    temperature=0.1, class_exponent=0.0, far_cosine=0.2, floor=0.7, class_sizes={}, typical_size=4.0,
    ranks={"species": a_rank(), "genus": a_rank()}, unknown=None,
)  # fmt: skip
UNKNOWN = UnknownModel(
    known=LogisticMap([0.5, 0.0, 0.0], [0.05, 1.0, 1.0], [1.0, 0.0, 0.0], 0.0), threshold=0.8, wanted_acceptance=None,
    false_acceptance=0.05, false_acceptance_interval=[0.0, 0.1],
    known_rejected=0.1, rejected_at_default=0.1, num_questions=9, auroc=0.9, curve=[],
)  # fmt: skip


def answered(matches, calibration=CALIBRATION, ranks=RANKS):
    return predict([matches], [1.0], ranks, calibration)


def labels_of(prediction, rank):
    return {one.label: one.confidence for vote in prediction.ranks if vote.rank == rank for one in vote.labels}


def test_without_a_calibration_it_is_a_share_and_nothing_is_sure():
    prediction = answered(
        [match(0.97, species="a", genus="A"), match(0.95, species="a", genus="A"), match(0.93, species="b", genus="A")],
        None,
    )
    assert (prediction.label, prediction.rank, prediction.sure, prediction.calibrated) == ("a", "species", False, False)
    assert prediction.confidence == pytest.approx((0.97 + 0.95) / 2.85)
    assert labels_of(prediction, "genus") == {"A": pytest.approx(1.0)}
    assert (prediction.unknown, prediction.unknown_score, prediction.help) == (None, None, None)


def test_neighbours_on_the_far_side_have_no_vote():
    assert answered([match(0.2, species="x"), match(-0.9, species="y")], None).confidence == 1.0
    assert answered([match(-0.1, species="x")], None).confidence == 0.0


def test_a_tie_goes_to_the_nearer():
    assert answered([match(0.5, species="x"), match(0.5, species="y")], None).label == "x"


@pytest.mark.parametrize("calibration", [None, CALIBRATION, replace(CALIBRATION, unknown=UNKNOWN)])
@pytest.mark.parametrize("matches", [[], [match(0.9), match(0.8)]])
def test_without_labels_nothing_is_invented(matches, calibration):
    prediction = answered(matches, calibration)
    assert (prediction.label, prediction.rank, prediction.confidence, prediction.ranks) == (None, None, None, [])
    assert (prediction.sure, prediction.calibrated, prediction.help) == (False, False, None)


def test_weights_fall_with_the_distance_and_the_size_of_the_class():
    sizes = {"species": {"a": 16, "b": 4}}
    calibration = replace(CALIBRATION, class_exponent=0.5, class_sizes=sizes)
    matches = [match(0.9, species="a"), match(0.85, species="b"), match(0.8, species="new")]
    vote = photo_vote(matches, RANKS, {}, calibration)
    weights = {"a": 1 / 4, "b": math.exp(-0.5) / 2, "new": math.exp(-1) / 2}  # a new class is of typical size, 4
    for name, weight in weights.items():
        assert vote.shares["species"][name, None] == pytest.approx(weight / sum(weights.values()))
    assert vote.first == 0.9
    assert vote.gap == pytest.approx(0.1)


def test_a_coarser_rank_has_the_sum_of_its_members_and_is_the_answer_where_they_are_too_like():
    matches = [
        match(0.9, "p", species="a", genus="A"),
        match(0.9, "q", species="b", genus="A"),
        match(0.7, "r", species="c", genus="B"),
    ]
    vote = photo_vote(matches, RANKS, {}, CALIBRATION)
    assert vote.shares["genus"]["A", None] == pytest.approx(
        vote.shares["species"]["a", None] + vote.shares["species"]["b", None]
    )
    prediction = answered(matches)
    assert (prediction.label, prediction.rank, prediction.sure) == ("A", "genus", True)
    assert prediction.help.kind == "rivals"
    assert prediction.help.items == {"a": "p", "b": "q"}


def test_the_finest_sure_rank_answers_and_needs_no_help():
    prediction = answered([match(0.9, species="a", genus="A"), match(0.5, species="b", genus="B"), match(0.4)])
    assert (prediction.label, prediction.rank, prediction.sure, prediction.help) == ("a", "species", True, None)
    assert labels_of(prediction, "genus")["A"] >= labels_of(prediction, "species")["a"]


def test_where_nothing_is_sure_the_coarsest_rank_says_its_best():
    prediction = answered([match(0.9, species="a", genus="A"), match(0.9, "q", species="b", genus="B"),
                           match(0.9, "r", species="c", genus="C")])  # fmt: skip
    assert (prediction.label, prediction.rank, prediction.sure) == ("A", "genus", False)
    assert prediction.confidence < 0.7


def test_a_genus_is_never_less_likely_than_its_species():
    calibration = replace(CALIBRATION, ranks={"species": a_rank(), "genus": a_rank(offset=-3.0)})
    prediction = answered(
        [match(0.9, species="a", genus="A"), match(0.6, "q", species="b", genus="B"), match(0.6, "r", species="b")],
        calibration,
    )
    assert labels_of(prediction, "genus")["A"] == labels_of(prediction, "species")["a"] > 0.7


def test_confidences_of_a_rank_are_ordered_and_sum_to_at_most_one():
    generator = np.random.default_rng(0)
    for _ in range(50):
        scores = np.sort(generator.random(12))[::-1]
        matches = [match(float(score), f"{n}", species=f"s{generator.integers(5)}") for n, score in enumerate(scores)]
        confidences = [one.confidence for one in answered(matches, replace(CALIBRATION, k=12)).ranks[0].labels]
        assert confidences == sorted(confidences, reverse=True)
        assert sum(confidences) <= 1 + 1e-9


def test_confidences_of_a_rank_above_sum_to_at_most_one_and_none_is_below_its_own():
    generator = np.random.default_rng(3)
    calibration = replace(CALIBRATION, k=12, ranks={"species": a_rank(offset=1.0), "genus": a_rank(offset=0.3)})
    for _ in range(100):
        scores = np.sort(generator.random(12))[::-1].tolist()
        numbers = generator.integers(5, size=12).tolist()
        matches = [
            match(score, f"{place}", species=f"s{number}", genus=f"G{number // 2}")
            for place, (score, number) in enumerate(zip(scores, numbers, strict=True))
        ]
        prediction = answered(matches, calibration)
        genera = labels_of(prediction, "genus")
        assert sum(genera.values()) <= 1 + 1e-9
        for species, confidence in labels_of(prediction, "species").items():
            assert genera[f"G{int(species[1:]) // 2}"] >= confidence - 1e-9


def test_copies_with_the_same_labels_count_once_and_contradicting_ones_divide_the_vote():
    once = [match(1.0, "a", species="x"), match(0.8, species="y")]
    twice = [once[0], match(1.0 - 6e-8, "copy", species="x"), once[1]]
    calibration = replace(CALIBRATION, k=2)
    assert photo_vote(twice, RANKS, {}, calibration) == photo_vote(once, RANKS, {}, calibration)
    torn = answered([match(1.0, "a", species="x"), match(1.0, "b", species="y"), match(0.5, "c", species="z")])
    assert not torn.sure
    assert labels_of(torn, "species")["x"] == pytest.approx(labels_of(torn, "species")["y"], abs=0.02)
    assert torn.help.kind == "rivals"


def test_one_neighbour_that_a_filter_left_is_not_the_whole_truth():
    alone = photo_vote([match(0.15, species="x")], RANKS, {}, CALIBRATION)
    assert alone.shares["species"]["x", None] == pytest.approx(1 / 3)  # two that lack, as far as the one there is
    near = photo_vote([match(0.9, species="x")], RANKS, {}, CALIBRATION)
    assert near.shares["species"]["x", None] == pytest.approx(1 / (1 + 2 * math.exp(-7)))


def test_a_name_under_two_genera_is_two_species():
    matches = [
        match(0.9, "p", species="alba", genus="Rosa"),
        match(0.9, "q", species="alba", genus="Lilium"),
        match(0.8, "r", species="nigra", genus="Rosa"),
    ]
    found = answered(matches).ranks[0].labels
    assert [(one.label, one.within) for one in found[:2]] == [("alba", "Rosa"), ("alba", "Lilium")]
    assert not any(one.confidence > 0.6 for one in found)
    homonyms = find_homonyms([one.labels for one in matches], RANKS)
    assert homonyms == {"species": frozenset({"alba"})}
    lone = answered([match(0.9, species="alba", genus="Rosa"), match(0.9, "q", species="alba"), match(0.1)])
    assert [(one.label, one.within) for one in lone.ranks[0].labels] == [("alba", None)]


def test_a_far_species_is_not_all_that_is_said_of_a_genus_without_any():
    matches = [match(0.92 - number / 500, f"{number}", genus="A") for number in range(9)] + [
        match(0.9, species="b", genus="B")
    ]
    for calibration in (replace(CALIBRATION, k=10), None):
        vote = photo_vote([*matches, match(0.9, "unlabelled")], RANKS, {}, calibration)
        assert vote.shares["species"]["b", None] == vote.shares["genus"]["B", None] < 0.1
        prediction = answered(matches, calibration)
        assert labels_of(prediction, "species")["b"] < 0.15
    assert (answered(matches, replace(CALIBRATION, k=10)).label, prediction.label) == ("A", "b")


def test_shares_are_those_of_a_naive_loop():
    generator = np.random.default_rng(5)
    calibration = replace(
        CALIBRATION, k=20, class_exponent=0.25, class_sizes={"species": {f"s{n}": n + 1 for n in range(6)}}
    )
    for _ in range(20):
        matches = []
        for number, score in enumerate(np.sort(generator.random(25))[::-1].tolist()):
            species = int(generator.integers(6))
            labels = {"genus": f"G{species % 2}"} | ({"species": f"s{species}"} if number % 4 else {})
            matches.append(match(score, f"{number}", **labels))
        vote = photo_vote(matches, RANKS, {}, calibration)
        for rank in RANKS:
            sums, total = Counter(), 0.0
            for one in matches[:20]:
                size = calibration.class_sizes["species"].get(one.labels.get("species"), calibration.typical_size)
                weight = math.exp((one.score - matches[0].score) / 0.1) * size**-0.25
                total += weight
                if rank in one.labels:
                    sums[one.labels[rank]] += weight
            for (name, _), share in vote.shares[rank].items():
                assert share == pytest.approx(sums[name] / total)


def test_the_unknown_verdict_goes_by_the_threshold_and_nothing_unknown_is_sure():
    calibration = replace(CALIBRATION, unknown=UNKNOWN)
    far = answered([match(0.2, species="a", genus="A"), match(-0.5, species="b", genus="B"), match(-0.6)], calibration)
    assert far.unknown_score == pytest.approx(1 - 1 / (1 + math.exp(6)), abs=1e-6)
    assert (far.unknown, far.sure, far.label, far.help.kind) == (True, False, "a", "unknown")
    assert "Nothing in the catalogue is near" in far.help.text
    behind = predict([[match(0.2, species="a")]], [1.0], RANKS, calibration, filtered=True)
    assert (behind.unknown, behind.sure, behind.help.kind) == (True, False, "unknown")
    assert "Nothing that the filter lets through is near" in behind.help.text
    near = answered([match(0.9, species="a", genus="A"), match(0.5, species="b", genus="B"), match(0.4)], calibration)
    assert (near.unknown, near.sure) == (False, True)


def test_a_rank_that_was_not_calibrated_is_shown_and_never_answers_alone():
    calibration = replace(CALIBRATION, ranks={"genus": a_rank()})
    prediction = answered(
        [match(0.9, species="a", genus="A"), match(0.3, species="b", genus="B"), match(0.2)], calibration
    )
    assert (prediction.label, prediction.rank, prediction.sure, prediction.help) == ("A", "genus", True, None)
    assert labels_of(prediction, "species")["a"] > 0.9
    assert [(vote.rank, vote.calibrated) for vote in prediction.ranks] == [("species", False), ("genus", True)]
    flat = replace(CALIBRATION, ranks={"genus": a_rank(slope=0.0)})
    prediction = answered([match(0.9, species="a", genus="A"), match(0.3, species="b", genus="B")], flat)
    assert labels_of(prediction, "genus")["A"] == pytest.approx(0.5)  # a share of the species does not raise it
    prediction = answered([match(0.9, species="a", genus="A"), match(0.8, species="a", genus="B")], None)
    assert [vote.calibrated for vote in prediction.ranks] == [False, False]


def test_labels_of_ranks_that_the_catalogue_does_not_name_are_shown_and_do_not_answer():
    prediction = answered([match(0.9, species="a", sex="male"), match(0.9, "q", species="b", sex="male"),
                           match(0.9, "r", species="c", sex="male")])  # fmt: skip
    assert labels_of(prediction, "sex") == {"male": pytest.approx(1.0)}
    assert (prediction.rank, prediction.sure) == ("species", False)
    only = answered([match(0.9, sex="male")], None)
    assert (only.label, only.rank) == ("male", "sex")
