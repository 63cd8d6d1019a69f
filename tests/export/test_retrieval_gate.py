"""The retrieval gate, by hand-worked embeddings."""

import numpy as np
import pytest

from encoder.errors import ParityError
from export.retrieval_gate import compare_retrieval, require_retrieval

ANGLES = np.radians([0, 5, 40, 47])
FP32 = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)
LABELS = ["a", "a", "b", "b"]


def test_the_same_embeddings_are_as_good():
    check = compare_retrieval(FP32, FP32, LABELS)
    assert (check.rank_1, check.mAP, check.ratio, check.overlap, check.num_queries) == (1, 1, 1, 1, 4)
    assert check.cosine_min == pytest.approx(1)
    assert check.mAP_mixed == pytest.approx(1)
    require_retrieval(check, 1.0, "x")


def test_a_variant_that_moves_one_picture_across():
    """The last b lands among the a's: rank-1 and average precisions by hand."""
    moved = FP32.copy()
    moved[3] = [np.cos(np.radians(6)), np.sin(np.radians(6))]  # order by angle: a 0, a 5, b 6, b 40
    check = compare_retrieval(FP32, moved, LABELS)
    # nearest: 0->5 a; 5->6 b; 40->6 b; 6->5 a. So rank-1 is 2 of 4.
    assert check.rank_1 == 0.5
    # a 0: 1; a 5: the other a is second: 1/2; b 40: 1; b 6: order 5, 0, 40: 1/3.
    assert check.mAP == pytest.approx((1 + 1 / 2 + 1 + 1 / 3) / 4)
    assert check.cosine_min == pytest.approx(np.cos(np.radians(41)), abs=1e-6)
    with pytest.raises(ParityError, match="x finds worse than fp32"):
        require_retrieval(check, 0.99, "x")
    require_retrieval(check, 0.5, "x")


def test_without_labels_the_neighbours_decide():
    rng = np.random.default_rng(0)
    fp32 = rng.normal(size=(40, 8)).astype(np.float32)
    same = compare_retrieval(fp32, fp32, [None] * 40)
    assert (same.num_queries, same.overlap, same.ratio) == (0, 1, 1)
    require_retrieval(same, 0.99, "x")
    other = compare_retrieval(fp32, rng.normal(size=(40, 8)).astype(np.float32), [None] * 40)
    assert other.overlap < 0.5
    with pytest.raises(ParityError, match="finds other pictures"):
        require_retrieval(other, 0.99, "x")


def test_overlap_against_a_loop():
    rng = np.random.default_rng(1)
    fp32 = rng.normal(size=(30, 6)).astype(np.float32)
    variant = fp32 + rng.normal(size=(30, 6)).astype(np.float32) * 0.5
    shares = []
    for row in range(30):
        nearest = []
        for embeddings in (fp32, variant):
            units = [row_D / np.linalg.norm(row_D) for row_D in embeddings]
            cosines = [-np.inf if other == row else units[row] @ units[other] for other in range(30)]
            nearest.append(set(np.argsort(cosines)[-10:]))
        shares.append(len(nearest[0] & nearest[1]) / 10)
    assert compare_retrieval(fp32, variant, [None] * 30).overlap == pytest.approx(np.mean(shares))


def test_two_pictures_are_enough():
    check = compare_retrieval(FP32[:2], FP32[:2], ["a", "a"])
    assert (check.overlap, check.mAP) == (1, 1)
