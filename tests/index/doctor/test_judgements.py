"""What the doctor's parts say of vectors and names whose truth is known, each held against a loop or a case by hand."""

import itertools
from math import comb

import numpy as np
import pytest

from index.doctor.confusable_labels import find_pairs
from index.doctor.duplicates import close_pairs, find_groups
from index.doctor.neighbours import NOBODY, Neighbours
from index.doctor.outliers import deviations, find_outliers
from index.doctor.ranks_together import consistent_change, names_of_two
from index.doctor.same_picture import SAME, correlation
from index.doctor.small_labels import MANY, how_many_do
from index.doctor.spelling import find_spellings
from index.doctor.suspicion import CAUTION, LEAST_FOUND, WANTED_SHARE, fit_threshold


def neighbours_of(positions, distances=None):
    positions = np.array(positions)
    distances = np.full(positions.shape, 0.1) if distances is None else np.array(distances, float)
    return Neighbours(np.arange(len(positions)), positions, np.where(positions == NOBODY, np.inf, distances))


def test_a_threshold_finds_planted_labels_that_stand_apart():
    generator = np.random.default_rng(0)
    right, wrong = generator.normal(-2, 0.5, 3600), generator.normal(2, 0.5, 400)
    suspicion = np.append(right, wrong)
    threshold, confidence = fit_threshold(suspicion, generator.normal(2, 0.5, 2000))
    found = suspicion >= threshold
    assert found[3600:].mean() > 0.95
    assert found[:3600].sum() <= (1 - WANTED_SHARE) * found.sum()
    assert (confidence > 0).tolist() == found.tolist()
    assert 0.85 < confidence.max() < 1  # all are right, but the count is taken at its upper end


def test_a_threshold_is_that_of_a_loop():
    generator = np.random.default_rng(1)
    suspicion, planted = generator.normal(-0.5, 1, 300), generator.normal(1, 1, 200)
    suspicion[:5], suspicion[5:9] = np.nan, -np.inf
    threshold, _ = fit_threshold(suspicion, planted)
    judged = [one for one in suspicion.tolist() if not np.isnan(one)]
    rows = []
    for candidate in sorted(one for one in [*judged, *planted.tolist()] if one > -np.inf):
        num = sum(one >= candidate for one in judged)
        share = sum(one >= candidate for one in planted.tolist()) / len(planted)
        if share >= LEAST_FOUND:
            rows.append((candidate, num, share))
    bound = min((num + CAUTION * num**0.5 + 1) / share for _, num, share in rows)
    assert threshold == next(candidate for candidate, num, share in rows if bound * share >= WANTED_SHARE * num)


def test_nothing_is_found_where_wrong_labels_look_like_right_ones():
    for planted in (np.full(10, -np.inf), np.append(np.full(7, -np.inf), np.full(3, 0.5)), np.array([])):
        threshold, confidence = fit_threshold(np.append(np.full(20, -np.inf), [0.1, 0.2, 0.3]), planted)
        assert not confidence.any()
        assert threshold > 0.3
    assert fit_threshold(np.array([]), np.array([])) == (np.inf, pytest.approx(np.zeros(0)))


def test_a_single_label_that_looks_like_a_planted_one_is_found():
    suspicion = np.append(np.full(200, -np.inf), [2.0])
    _, confidence = fit_threshold(suspicion, np.random.default_rng(0).normal(1.5, 0.3, 500))
    assert np.flatnonzero(confidence).tolist() == [200]


def test_copies_of_one_file_are_a_group_whatever_their_number():
    groups = find_groups(np.array([0, 1, 0, 3, 0, 3]), neighbours_of([[1], [3], [1]]), lambda one, other: False)
    assert [(group.positions, group.exact) for group in groups] == [((0, 2, 4), True), ((3, 5), True)]


def test_pairs_of_one_picture_grow_into_groups_with_the_copies_of_their_files():
    # 0 = 2 (file), 1 ~ 0, 1 ~ 3, 4 and 5 close but other pictures; the others make the usual distance.
    first = np.array([0, 1, 0, 3, 4, 5, 6, 7])
    positions = [[1, 3], [0, 3], [1, 0], [5, 1], [4, 1], [7, 1], [6, 1]]
    distances = [[0.001, 0.5], [0.001, 0.001], [0.001, 0.5], [0.001, 0.5], [0.001, 0.5], [0.4, 0.5], [0.4, 0.5]]
    found = neighbours_of(positions, distances)
    found = Neighbours(np.array([0, 1, 3, 4, 5, 6, 7]), found.positions_QK, found.distances_QK)
    assert close_pairs(found) == [(0, 1), (1, 3), (4, 5)]
    same, told = {(0, 1), (1, 3)}, []
    groups = find_groups(first, found, lambda one, other: (one, other) in same, told.append)
    assert [(group.positions, group.exact) for group in groups] == [((0, 1, 2, 3), False)]
    assert told == [1, 2, 3]


def test_no_neighbours_no_pairs():
    assert close_pairs(neighbours_of(np.empty((0, 4), int))) == []
    assert close_pairs(neighbours_of([[NOBODY, NOBODY]])) == []


def test_noise_leaves_a_picture_the_same_and_another_is_not():
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    noisy = np.clip(picture + generator.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
    assert correlation(picture, noisy) > SAME > correlation(picture, picture[::-1])
    assert correlation(picture, noisy) == pytest.approx(np.corrcoef(picture.ravel(), noisy.ravel())[0, 1], abs=2e-3)
    grey = np.full_like(picture, 128)
    assert correlation(grey, grey) == 0


def test_outliers_are_far_from_all_and_far_for_their_label():
    generator = np.random.default_rng(0)
    distances = np.exp(generator.normal(-3, 0.2, (200, 3)))
    distances[7] = 1.0
    distances[100:140] = np.exp(generator.normal(-1, 0.2, (40, 3)))  # a label whose pictures all differ
    codes = np.zeros(200, np.int32)
    codes[100:140] = 1
    found = neighbours_of(np.ones((200, 3), int), distances)
    rows, far = find_outliers(found, codes)
    assert rows == [7]
    assert far[7] == far.max() > 4
    assert len(find_outliers(found, None)[0]) == 41
    assert find_outliers(neighbours_of(np.ones((9, 3), int)), None)[0] == []
    assert find_outliers(neighbours_of(np.ones((50, 2), int)), None)[0] == []
    assert deviations(np.full(5, 3.0)).tolist() == [0] * 5


def test_how_many_items_would_do_is_the_chance_over_all_draws():
    # 14 items of label 0: of the 13 others, `ahead` lie before the first of label 1.
    ahead = [0, 1, 2, 3, 5, 8, 1, 1, 4, 0, 2, 2, 6, 3]
    codes = np.array([0] * 14 + [1] * 3, np.int32)
    positions = []
    for question, num in enumerate(ahead):
        own = [one for one in range(14) if one != question]
        positions.append([*own[:num], 14, *own[num:]][:12])
    enough = how_many_do(neighbours_of(positions), codes, np.bincount(codes))
    for num in range(1, MANY + 1):
        expected = np.mean([1 - comb(13 - one, num) / comb(13, num) for one in ahead])
        assert enough.rank_1[num + 1] == pytest.approx(expected)
    # The same by drawing every pair of the 13.
    of_two = np.mean([np.mean([min(pair) < one for pair in itertools.combinations(range(13), 2)]) for one in ahead])
    assert enough.rank_1[3] == pytest.approx(of_two)
    assert enough.rank_1[enough.num] >= 0.9 * enough.rank_1[MANY + 1] > enough.rank_1[enough.num - 1]


def test_without_a_label_of_enough_items_there_is_no_curve():
    codes = np.array([0, 0, 1, 1], np.int32)
    enough = how_many_do(neighbours_of([[1], [0], [3], [2]]), codes, np.bincount(codes))
    assert (enough.num, enough.rank_1) == (4, None)


def test_labels_that_are_drawn_by_lot_cannot_be_told_apart():
    generator = np.random.default_rng(0)
    num = 40
    codes = np.array([0] * num + [1] * num + [2] * num, np.int32)
    positions = []
    for question in range(3 * num):
        # 0 and 1 are mixed; 2 stands alone, with one neighbour of 1.
        low, high = (0, 2 * num) if question < 2 * num else (2 * num, 3 * num)
        others = generator.permutation([one for one in range(low, high) if one != question])[:10]
        positions.append([*others[:9], num] if question >= 2 * num else others)
    (pair,) = find_pairs(neighbours_of(positions), codes, np.bincount(codes))
    assert pair.codes == (0, 1)
    assert abs(pair.separation) < 0.15
    assert all(codes[positions[row][0]] != codes[row] for row in pair.questions)
    expected = []
    for own, rival in ((0, 1), (1, 0)):
        shares = []
        for row in np.flatnonzero(codes == own):
            found = codes[positions[row]]
            shares.append(1 - (found == rival).sum() / np.isin(found, (own, rival)).sum() / (num / (2 * num - 1)))
        expected.append(np.mean(shares))
    assert pair.separation == pytest.approx(np.mean(expected))


def test_spellings_of_one_name():
    names = {
        "Air Bus": 2,
        "air-bus": 3,
        "AIR_BUS": 1,
        "1-2": 1,
        "12": 1,
        "C": 1,
        "C++": 1,
        "-": 4,
        "é": 1,
        "e\u0301": 2,
    }
    assert find_spellings(names) == [["air-bus", "Air Bus", "AIR_BUS"], ["e\u0301", "é"]]


def test_coarser_labels_follow_and_finer_ones_that_cannot_be_go():
    codes = {
        "species": np.array([0, 0, 0, 1, 1, 1], np.int32),
        "genus": np.array([0, 0, 0, 1, 1, 1], np.int32),
        "colour": np.array([0, 1, 2, 0, 1, 2], np.int32),
    }
    assert consistent_change(codes, 0, "species", 1, codes) == ({"species": 1, "genus": 1}, [])
    assert consistent_change(codes, 0, "genus", 1, codes) == ({"genus": 1}, ["species"])
    assert consistent_change(codes, 0, "colour", 1, codes) == ({"colour": 1}, [])


def test_a_name_is_of_two_labels_if_its_items_do_not_agree_on_what_is_above():
    def genera_of(*counts):
        genus = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
        names = {"species": ["alba"], "genus": [f"G{number}" for number in range(len(counts))]}
        codes = {"species": np.zeros(len(genus), np.int32), "genus": genus}
        return names_of_two(names, codes, ("species", "genus"))["species"]

    assert genera_of(10, 10) == genera_of(8, 2) == genera_of(3, 0, 3) == {"alba"}
    assert genera_of(18, 2) == genera_of(19, 1) == genera_of(5, 0) == set()
    assert genera_of(3, 1) == set()  # one item with a wrong genus
    assert genera_of(17, 2) == {"alba"}


def test_a_finer_label_that_may_be_of_the_new_coarser_one_stays():
    classes = {"species": np.array([0, 0, 0, 1, 1, 1], np.int32), "genus": np.array([0, 0, 0, 1, 1, 1], np.int32)}
    by_name = {"species": np.zeros(6, np.int32), "genus": classes["genus"]}
    assert consistent_change(classes, 0, "genus", 1, by_name) == ({"genus": 1}, [])
    assert consistent_change(classes, 0, "species", 1, by_name) == ({"species": 1, "genus": 1}, [])
