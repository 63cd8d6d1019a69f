"""kNN classification by hand, and against loops written from its definition."""

import math

import numpy as np
import pytest

from training import knn
from training.knn import classify_by_neighbours


def hits_by_loops(queries, query_labels, gallery, gallery_labels, own=None):
    top_1, top_5 = [], []
    for q, label in enumerate(query_labels):
        near = []
        for g in range(len(gallery)):
            if own is not None and own[q] == g:
                continue
            cosine = float(queries[q] @ gallery[g] / np.linalg.norm(queries[q]) / np.linalg.norm(gallery[g]))
            near.append((cosine, gallery_labels[g]))
        votes = {}
        for cosine, voted in sorted(near, key=lambda pair: -pair[0])[: knn.NUM_NEIGHBOURS]:
            votes[voted] = votes.get(voted, 0) + math.exp(cosine / knn.TEMPERATURE)
        guesses = sorted(votes, key=lambda name: -votes[name])
        top_1.append(guesses[0] == label)
        top_5.append(label in guesses[:5])
    return top_1, top_5


@pytest.mark.parametrize("chunk", [7, 512])
def test_equals_the_loops(monkeypatch, chunk):
    monkeypatch.setattr(knn, "CHUNK", chunk)
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(60, 5)).astype(np.float32)
    labels = [f"l{n}" for n in rng.integers(0, 12, 60)]
    found = classify_by_neighbours(embeddings, labels)
    expected = hits_by_loops(embeddings, labels, embeddings, labels, own=range(60))
    assert (found.top_1_Q.tolist(), found.top_5_Q.tolist()) == expected
    found = classify_by_neighbours(embeddings[:20], labels[:20], embeddings[20:], labels[20:])
    expected = hits_by_loops(embeddings[:20], labels[:20], embeddings[20:], labels[20:])
    assert (found.top_1_Q.tolist(), found.top_5_Q.tolist()) == expected
    assert 0 < found.top_1_Q.mean() < found.top_5_Q.mean() < 1


def test_the_near_outweigh_the_many():
    """One neighbour at cosine 1 weighs exp(1 / 0.07), nineteen at 0.6 weigh 19 exp(0.6 / 0.07): 3 % of that."""
    gallery = np.array([[1, 0]] + [[0.6, 0.8]] * 19, np.float32)
    hits = classify_by_neighbours(np.array([[1, 0]], np.float32), ["one"], gallery, ["one"] + ["many"] * 19)
    assert hits.top_1_Q.tolist() == [1.0]
    gallery[1:] = [0.95, math.sqrt(1 - 0.95**2)]  # 19 exp(0.95 / 0.07) is 9 times as much
    hits = classify_by_neighbours(np.array([[1, 0]], np.float32), ["one"], gallery, ["one"] + ["many"] * 19)
    assert (hits.top_1_Q.tolist(), hits.top_5_Q.tolist()) == ([0.0], [1.0])


def test_a_label_without_votes_is_never_guessed():
    """Six labels, but the 20 nearest are all of one: top-5 must not be filled up with names that nobody voted for."""
    gallery = np.array([[1, 0]] * 20 + [[0, 1]] * 5, np.float32)
    labels = ["z"] * 20 + ["a", "b", "c", "d", "e"]
    hits = classify_by_neighbours(np.array([[1, 0]], np.float32), ["a"], gallery, labels)
    assert hits.top_5_Q.tolist() == [0.0]


def test_an_unknown_label_is_wrong_and_a_single_picture_finds_nobody():
    same = np.ones((2, 2), np.float32)
    assert classify_by_neighbours(same[:1], ["new"], same, ["a", "b"]).top_5_Q.tolist() == [0.0]
    alone = classify_by_neighbours(same[:1], ["a"])
    assert (alone.top_1_Q.tolist(), alone.top_5_Q.tolist()) == ([0.0], [0.0])
