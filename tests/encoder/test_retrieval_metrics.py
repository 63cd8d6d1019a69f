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
