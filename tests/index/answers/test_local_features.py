"""Pivotal patches, their projection and their packing, against the same by other means."""

import numpy as np
import pytest
from drawn_patches import A, E, patches_of

from encoder.errors import CatalogueCorruptError
from index.answers.local_features import NUM_PATCHES, LocalFeatures, PivotalPatches, pack, pivotal_patches, unpack
from index.answers.patch_projection import NUM_DIMS, PatchProjection, learn_projection


def test_the_best_patches_come_best_first_with_their_own_features():
    scores = np.array([0.1, 0.4, 0.1, 0.4], np.float32)
    tokens = np.arange(8, dtype=np.float32).reshape(4, 2)
    found = pivotal_patches(scores, tokens)
    assert found.positions_P.tolist() == [1, 3, 0, 2]
    assert found.features_PE.tolist() == tokens[[1, 3, 0, 2]].tolist()
    assert len(patches_of(0).positions_P) == NUM_PATCHES


def test_the_projection_is_that_of_a_singular_value_decomposition():
    sample = [patches_of(seed) for seed in range(40)]
    projection = learn_projection(sample)
    data = np.concatenate([one.features_PE for one in sample]).astype(np.float64)
    _, values, directions = np.linalg.svd(data - data.mean(axis=0), full_matrices=False)
    expected = directions[:NUM_DIMS].T / (values[:NUM_DIMS] / np.sqrt(len(data)))
    found = projection.whitening_EK.astype(np.float64)
    assert found.shape == (E, NUM_DIMS)
    np.testing.assert_allclose(np.abs((found * expected).sum(axis=0)), (expected**2).sum(axis=0), rtol=1e-3)
    whitened = (data - projection.mean_E) @ found
    np.testing.assert_allclose(whitened.T @ whitened / len(data), np.eye(NUM_DIMS), atol=1e-2)


def test_components_that_the_sample_does_not_have_are_not_made_up():
    """Two patches differ along one direction; whitening all of 96 would divide by nothing."""
    tokens = np.zeros((2, E), np.float32)
    tokens[1, 3] = 1
    projection = learn_projection([pivotal_patches(np.array([0.5, 0.5], np.float32), tokens)])
    assert projection.whitening_EK.shape == (E, 1)
    assert np.isfinite(projection.whitening_EK).all()


def test_a_projection_survives_its_blob_and_a_damaged_one_is_told():
    projection = learn_projection([patches_of(seed) for seed in range(10)])
    again = PatchProjection.loads(projection.dumps())
    np.testing.assert_array_equal(again.mean_E, projection.mean_E)
    np.testing.assert_array_equal(again.whitening_EK, projection.whitening_EK)
    assert again.stamp == projection.stamp
    for blob in (b"", projection.dumps()[:-1], b"\2" + projection.dumps()[1:]):
        with pytest.raises(CatalogueCorruptError, match="lodisc index local"):
            PatchProjection.loads(blob)


def test_packing_keeps_positions_and_moves_a_number_by_half_a_step():
    projection = learn_projection([patches_of(seed) for seed in range(40)])
    local = [projection.project(patches_of(seed)) for seed in range(100, 120)]
    blobs = [pack(one, projection.stamp) for one in local]
    assert {len(blob) for blob in blobs} == {10 + NUM_PATCHES * (2 + 2 + NUM_DIMS) + A}
    for before, after in zip(local, unpack(blobs), strict=True):
        np.testing.assert_array_equal(after.positions_P, before.positions_P)
        peaks = np.abs(before.features_PK).max(axis=1, keepdims=True)
        # Half a step, and what the peak loses at half precision; unpacking scales to length 1 again.
        assert (np.abs(after.features_PK - before.features_PK) <= peaks * (0.5 / 127 + 0.01)).all()
        assert ((after.features_PK * before.features_PK).sum(axis=1) > 0.999).all()
        assert np.abs(after.scores_A - before.scores_A).max() <= before.scores_A.max() * (0.5 / 255 + 0.02)
        assert after.scores_A.sum() == pytest.approx(1, abs=1e-5)


def test_with_196_patches_an_item_takes_about_a_kilobyte():
    assert len(pack(learn_projection([patches_of(0, 196)] * 3).project(patches_of(1, 196)), 0)) < 1100


def test_what_cannot_be_read_is_told():
    local = LocalFeatures(np.array([0, 3]), np.eye(2, dtype=np.float32), np.full(4, 0.25, np.float32))
    blob = pack(local, 1)
    outside = bytearray(blob)
    outside[10] = 9
    for blobs in ([b""], [blob[:-1]], [blob, blob[:-1]], [blob[:4] + b"\x63" + blob[5:]], [bytes(outside)]):
        with pytest.raises(CatalogueCorruptError, match="lodisc index local"):
            unpack(blobs)


def test_weights_are_roots_of_scores_and_never_nothing():
    scores = np.array([0.64, 0.16, 0.2], np.float32)
    local = LocalFeatures(np.array([0, 1]), np.eye(2, dtype=np.float32), scores)
    np.testing.assert_allclose(local.weights, [2 / 3, 1 / 3], rtol=1e-5)
    none = LocalFeatures(np.array([0, 1]), np.eye(2, dtype=np.float32), np.zeros(3, np.float32))
    assert none.weights.tolist() == [0.5, 0.5]


def test_a_pivotal_patch_of_few():
    assert isinstance(patches_of(0, 5), PivotalPatches)
    assert len(patches_of(0, 5).positions_P) == 5
