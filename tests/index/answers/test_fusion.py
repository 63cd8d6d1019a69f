"""Several photographs of one thing: what each counts, and the query they make."""

import numpy as np
import pytest
from labelled_catalogue import drawn_pictures, fill

from encoder.errors import InputError
from index.answers.asking import ask
from index.answers.fusion import fuse, photo_weights, pooled
from index.answers.shares import PhotoVote
from index.answers.vote import predict
from index.sqlite_catalogue import SqliteCatalogue


def vote(first, **shares):
    return PhotoVote({"species": {(name, None): share for name, share in shares.items()}}, first, 0.1)


def test_alike_photographs_count_alike_and_all_weights_sum_to_one():
    for num in (1, 2, 5):
        assert photo_weights([vote(0.9, a=0.8, b=0.2)] * num) == pytest.approx([1 / num] * num)


def test_a_photograph_near_nothing_counts_little():
    weights = photo_weights([vote(0.9, a=1.0), vote(0.3, a=1.0)])
    assert weights[1] / weights[0] == pytest.approx(np.exp(-0.5 * 0.6 / 0.1))


def test_the_odd_one_of_three_counts_little_and_of_two_neither_is():
    three = photo_weights([vote(0.9, a=1.0), vote(0.9, a=0.9, b=0.1), vote(0.9, c=1.0)])
    assert three[2] < 0.1 < three[0]
    assert photo_weights([vote(0.9, a=1.0), vote(0.9, c=1.0)]) == pytest.approx([0.5, 0.5])


def test_without_labels_nearness_alone_decides():
    blank = PhotoVote({}, 0.9, 0.1)
    assert photo_weights([blank, blank]) == pytest.approx([0.5, 0.5])
    assert photo_weights([blank, PhotoVote({}, 0.1, 0.1)])[0] > 0.9


def test_photographs_whose_neighbours_are_all_equally_near_have_weights_too():
    flat = PhotoVote({}, 0.9, 0.0)
    assert photo_weights([flat, flat]) == pytest.approx([0.5, 0.5])


def test_fusing_is_the_weighted_mean_direction():
    pair = np.eye(3, dtype=np.float32)[:2]
    np.testing.assert_allclose(fuse(pair, [0.5, 0.5]), [np.sqrt(0.5), np.sqrt(0.5), 0], atol=1e-7)
    np.testing.assert_allclose(fuse(pair, [0.8, 0.2]), np.array([0.8, 0.2, 0]) / np.hypot(0.8, 0.2), atol=1e-7)
    assert fuse(pair, [0.5, 0.5]).dtype == np.float32
    np.testing.assert_array_equal(fuse(pair[:1], [1.0]), pair[0])
    with pytest.raises(InputError, match="cancel out"):
        fuse(np.stack([pair[0], -pair[0]]), [0.5, 0.5])


def test_pooled_shares_are_weighted_means():
    both = pooled([vote(0.9, a=0.6, b=0.4), vote(0.5, b=1.0)], [0.75, 0.25])
    assert both.shares["species"] == {("b", None): pytest.approx(0.55), ("a", None): pytest.approx(0.45)}
    assert both.first == pytest.approx(0.8)


def test_one_spoilt_photograph_does_not_spoil_the_answer(tmp_path, tiny_bundle):
    vectors, labels = drawn_pictures(400)
    fill(tmp_path / "catalogue", tiny_bundle, vectors, labels)
    asked, truth = drawn_pictures(240, seed=1)
    generator = np.random.default_rng(3)
    right = {"weighted": 0, "mean": 0, "weighted, none spoilt": 0, "mean, none spoilt": 0}
    with SqliteCatalogue.open(tmp_path / "catalogue") as catalogue:
        for number, named in enumerate(truth):
            same = [place for place, other in enumerate(truth) if other == named and place != number]
            pair = asked[[number, generator.choice(same)]]
            spoilt = generator.normal(size=pair.shape[1])
            spoilt = (pair[1] + 1.5 * spoilt / np.linalg.norm(spoilt)).astype(np.float32)
            for name, second in (("", spoilt / np.linalg.norm(spoilt)), (", none spoilt", pair[1])):
                photographs = np.stack([pair[0], second])
                found = ask(catalogue, photographs, k=1)
                assert sum(found.weights) == pytest.approx(1)
                prediction = predict(found.photographs, found.weights, catalogue.ranks, None)
                right["weighted" + name] += prediction.label == named["species"]
                mean = ask(catalogue, fuse(photographs, [0.5, 0.5])[None], k=1)
                right["mean" + name] += (
                    predict(mean.photographs, [1.0], catalogue.ranks, None).label == named["species"]
                )
    assert right["weighted"] > right["mean"]
    assert right["weighted, none spoilt"] >= right["mean, none spoilt"] - 3
