"""Rank-k and mAP by hand, and against loops written from their definitions."""

import numpy as np
import pytest

from encoder import retrieval_metrics
from encoder.retrieval_metrics import leave_one_out, query_gallery


def scores_by_loops(queries, query_labels, gallery, gallery_labels, own=None):
    first, fifth, precisions, without = [], [], [], 0
    for q, (query, label) in enumerate(zip(queries, query_labels, strict=True)):
        others = [g for g in range(len(gallery)) if own is None or g != own[q]]
        ranked = sorted(others, key=lambda g: -float(query @ gallery[g]) / np.linalg.norm(gallery[g]))
        hits = [gallery_labels[g] == label for g in ranked]
        if not any(hits):
            without += 1
            continue
        first.append(hits[0])
        fifth.append(any(hits[:5]))
        precisions.append(np.mean([sum(hits[: n + 1]) / (n + 1) for n, hit in enumerate(hits) if hit]))
    return np.mean(first), np.mean(fifth), np.mean(precisions), len(first), without


def unpack(scores):
    return scores.rank_1, scores.rank_5, scores.mean_average_precision, scores.num_queries, scores.num_without_positive


def test_by_hand():
    gallery = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], np.float32)
    scores = query_gallery(np.array([[1, 0]], np.float32), ["a"], gallery, ["b", "a", "b", "a"])
    assert unpack(scores) == (0.0, 1.0, pytest.approx((1 / 2 + 2 / 4) / 2), 1, 0)


@pytest.mark.parametrize("chunk", [3, 512])
def test_equals_the_loops(monkeypatch, chunk):
    monkeypatch.setattr(retrieval_metrics, "CHUNK", chunk)
    rng = np.random.default_rng(4)
    embeddings = rng.normal(size=(40, 6)).astype(np.float32)
    labels = [f"l{n}" for n in rng.integers(0, 9, 38)] + ["single", "alone"]
    expected = scores_by_loops(embeddings, labels, embeddings, labels, own=range(40))
    assert unpack(leave_one_out(embeddings, labels)) == pytest.approx(expected)
    assert leave_one_out(embeddings, labels).num_without_positive >= 2
    queries, gallery = embeddings[:15], embeddings[15:]
    expected = scores_by_loops(queries, labels[:15], gallery, labels[15:])
    assert unpack(query_gallery(queries, labels[:15], gallery, labels[15:])) == pytest.approx(expected)


def test_ties_keep_the_order_of_the_gallery():
    same = np.ones((3, 2), np.float32)
    assert query_gallery(same[:1], ["a"], same, ["b", "a", "a"]).rank_1 == 0.0
    assert query_gallery(same[:1], ["a"], same, ["a", "b", "b"]).rank_1 == 1.0


def test_labels_of_one_picture_are_counted_and_not_averaged():
    scores = leave_one_out(np.eye(3, dtype=np.float32), ["a", "b", "c"])
    assert unpack(scores) == (0.0, 0.0, 0.0, 0, 3)
    assert unpack(leave_one_out(np.empty((0, 4), np.float32), [])) == (0.0, 0.0, 0.0, 0, 0)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="labels"):
        leave_one_out(np.eye(3, dtype=np.float32), ["a"])


def test_leave_one_out_by_hand():
    """Four directions, in degrees; what each one finds is written out."""
    angles = np.deg2rad([0, 10, 25, 90])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    # query 0 (a): 10 b, 25 a, 90 b -> precision 1/2, first miss
    # query 1 (b): 0 a, 25 a, 90 b -> precision 1/3
    # query 2 (a): 10 b, 0 a, 90 b -> precision 1/2
    # query 3 (b): 25 a, 10 b, 0 a -> precision 1/2
    scores = leave_one_out(embeddings, ["a", "b", "a", "b"])
    assert unpack(scores) == (0.0, 1.0, pytest.approx((1 / 2 + 1 / 3 + 1 / 2 + 1 / 2) / 4), 4, 0)


def test_rank_5_is_within_five():
    angles = np.deg2rad([0, 10, 20, 30, 40, 50, 60])
    gallery = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    for place, within in ((4, 1.0), (5, 0.0)):
        labels = ["b"] * 7
        labels[place] = "a"
        scores = query_gallery(gallery[:1], ["a"], gallery, labels)
        assert (scores.rank_1, scores.rank_5) == (0.0, within)
        assert scores.mean_average_precision == pytest.approx(1 / (place + 1))


def test_length_does_not_matter():
    rng = np.random.default_rng(5)
    embeddings, labels = rng.normal(size=(20, 5)).astype(np.float32), [str(n % 4) for n in range(20)]
    scaled = embeddings * rng.uniform(0.1, 90, (20, 1)).astype(np.float32)
    assert unpack(leave_one_out(scaled, labels)) == pytest.approx(unpack(leave_one_out(embeddings, labels)))


def test_a_picture_never_finds_itself():
    embeddings = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], np.float32)
    assert leave_one_out(embeddings, ["a", "b", "a", "b"]).rank_1 == 0.0


def test_an_embedding_of_zeros_is_far_from_all_and_no_error():
    embeddings = np.array([[0, 0], [1, 0], [1, 0]], np.float32)
    assert leave_one_out(embeddings, ["a", "a", "b"]).num_queries == 2


def test_an_empty_gallery_answers_nobody():
    empty = np.empty((0, 2), np.float32)
    assert unpack(query_gallery(np.ones((3, 2), np.float32), ["a", "b", "c"], empty, [])) == (0.0, 0.0, 0.0, 0, 3)
    assert unpack(query_gallery(empty, [], np.ones((3, 2), np.float32), ["a", "b", "c"])) == (0.0, 0.0, 0.0, 0, 0)
