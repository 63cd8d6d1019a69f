"""Late interaction, re-ranking and explanations against plain loops and cases worked out by hand."""

import numpy as np
import pytest
from drawn_patches import patches_of

from index.answers.explanation import MAX_PAIRS, Seen, explain, patch_box
from index.answers.influence import blurred, influence
from index.answers.late_interaction import interact
from index.answers.local_features import LocalFeatures, pivotal_patches
from index.answers.patch_projection import learn_projection
from index.answers.rerank_fit import WEIGHTS, with_weights
from index.answers.reranking import combined, local_scores, rerank
from index.items import Match

PROJECTION = learn_projection([patches_of(seed) for seed in range(30)])
LOCAL = [PROJECTION.project(patches_of(seed)) for seed in range(50, 70)]


def naive(query, item):
    """Score and partner of each patch by two loops."""
    score, partners = 0.0, []
    for patch, weight in zip(query.features_PK, query.weights, strict=True):
        cosines = [float(patch @ other) for other in item.features_PK]
        partners.append(int(np.argmax(cosines)))
        score += float(weight) * max(cosines)
    return score, partners


def test_the_score_is_that_of_two_loops():
    found = interact(LOCAL[0], LOCAL[1:])
    for place, item in enumerate(LOCAL[1:]):
        score, partners = naive(LOCAL[0], item)
        assert found.score_C[place] == pytest.approx(score, abs=1e-5)
        assert found.partner_CQ[place].tolist() == partners
    assert interact(LOCAL[0], [LOCAL[0]]).score_C[0] == pytest.approx(1, abs=1e-5)
    assert len(interact(LOCAL[0], []).score_C) == 0


def test_of_several_photographs_the_best_counts():
    found = local_scores({0: LOCAL[0], 3: LOCAL[1]}, [LOCAL[1], None, LOCAL[0], LOCAL[2]])
    one, other = (interact(LOCAL[at], [LOCAL[2]]).score_C[0] for at in (0, 1))
    assert found.picture_C.tolist() == [3, -1, 0, 0 if one >= other else 3]
    assert np.isnan(found.score_C[1])
    np.testing.assert_allclose(found.score_C[[0, 2, 3]], [1, 1, max(one, other)], atol=1e-5)


def test_a_score_is_the_weighted_mean_and_what_is_not_known_counts_as_the_middle():
    cosine = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    local = np.array([0.1, np.nan, 0.5], np.float32)
    expected = [(0.9 + 0.05) / 1.5, (0.8 + 0.15) / 1.5, (0.7 + 0.25) / 1.5, (0.6 + 0.15) / 1.5]
    np.testing.assert_allclose(combined(cosine, local, 0.5), expected, rtol=1e-5)
    np.testing.assert_array_equal(combined(cosine, np.full(3, np.nan, np.float32), 0.5), cosine)


def test_matches_change_places_and_say_what_they_were_made_of():
    matches = [Match(name, score, {}, {}) for name, score in (("a", 0.9), ("b", 0.8), ("c", 0.1))]
    scores = local_scores({0: LOCAL[0]}, [LOCAL[1], LOCAL[0]])
    found = rerank(matches, scores, 1.0)
    assert [match.id for match in found] == ["b", "a", "c"]
    assert (found[0].global_score, found[0].local_score) == (0.8, pytest.approx(1, abs=1e-5))
    assert found[2].local_score is None
    assert found[0].score == pytest.approx(0.9, abs=1e-5)


def test_outcomes_of_weights_by_hand():
    """The right one stands second by cosine; patches bring it to the front. Another right one comes after the first."""
    right = np.array([False, True, False, True])
    first, precision = with_weights(right, np.array([0.9, 0.8], np.float32), np.array([0.0, 1.0], np.float32))
    assert (first[0], precision[0]) == (0, pytest.approx((1 / 2 + 2 / 4) / 2))
    assert (first[-1], precision[-1]) == (1, pytest.approx((1 + 2 / 4) / 2))
    assert WEIGHTS[0] == 0
    assert len(first) == len(precision) == len(WEIGHTS)


@pytest.mark.parametrize("box", [(0.0, 0.0, 1.0, 1.0), (0.125, 0.0, 0.875, 1.0)])
def test_shares_sum_to_one_at_most_and_boxes_lie_inside_the_picture(box):
    for item in LOCAL[1:]:
        found = explain(Seen(LOCAL[0], box, number=2), Seen(item, box), (6, 6))
        pairs = found["pairs"]
        shares = [pair["share"] for pair in pairs]
        assert 0 < len(pairs) <= MAX_PAIRS
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1
        assert {pair["query"]["picture"] for pair in pairs} == {2}
        for side in [pair[side] for pair in pairs for side in ("query", "item")]:
            left, top, right, bottom = side["box"]
            assert box[0] <= left < right <= box[2]
            assert 0 <= top < bottom <= 1
        for name in ("query_attention", "item_attention"):
            assert len(found[name]["scores"]) == 36
            assert found[name]["grid"] == [6, 6]


def test_shares_are_parts_of_the_score():
    found = explain(Seen(LOCAL[0], (0, 0, 1, 1)), Seen(LOCAL[1], (0, 0, 1, 1)), (6, 6))
    _, partners = naive(LOCAL[0], LOCAL[1])
    parts = {}
    for place, (weight, partner) in enumerate(zip(LOCAL[0].weights, partners, strict=True)):
        cosine = float(LOCAL[0].features_PK[place] @ LOCAL[1].features_PK[partner])
        parts[int(LOCAL[0].positions_P[place])] = max(cosine, 0) * float(weight)
    for pair in found["pairs"]:
        assert pair["share"] == pytest.approx(parts[pair["query"]["patch"]] / sum(parts.values()), abs=2e-4)


def test_opposite_pictures_have_no_pairs():
    one = LocalFeatures(np.array([0]), np.array([[1.0, 0.0]], np.float32), np.ones(1, np.float32))
    other = LocalFeatures(np.array([0]), np.array([[-1.0, 0.0]], np.float32), np.ones(1, np.float32))
    assert explain(Seen(one, (0, 0, 1, 1)), Seen(other, (0, 0, 1, 1)), (1, 1))["pairs"] == []


def test_the_box_of_a_patch():
    assert patch_box(3, (2, 2), (0.25, 0.0, 0.75, 1.0)) == [0.5, 0.5, 0.75, 1.0]


def test_blurring_changes_one_patch_of_each_picture_and_a_flat_one_not_at_all():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    pixels[8:16] = 90
    patches = pivotal_patches(np.array([1, 0, 0, 0, 2, 0, 0, 0, 3], np.float32), np.zeros((9, 2), np.float32))
    for position, picture in zip(patches.positions_P.tolist(), blurred(pixels, patches, (3, 3)), strict=True):
        row, column = divmod(position, 3)
        same = (picture == pixels).all(axis=2)
        inside = np.zeros((24, 24), np.bool_)
        inside[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = True
        assert same[~inside].all()
        if position == 8:
            assert same[inside].mean() < 0.2


def test_influence_is_the_share_of_the_movement():
    embedding = np.array([1, 0], np.float32)
    moved = np.array([[1, 0], [0.9, np.sqrt(1 - 0.81)], [0.7, np.sqrt(1 - 0.49)]], np.float32)
    np.testing.assert_allclose(influence(embedding, moved), [0, 0.25, 0.75], atol=1e-5)
    np.testing.assert_allclose(influence(embedding, np.tile(embedding, (4, 1))), [0.25] * 4)
