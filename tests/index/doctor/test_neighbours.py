"""The nearest items and their labels against loops."""

import numpy as np
import pytest
from tiny_encoder import DIM
from vector_catalogue import clustered

from index.doctor import neighbours as neighbours_module
from index.doctor.label_distance import FEW, distances_to, few_of, nearest_label, nearest_other_label
from index.doctor.neighbours import NOBODY, nearest
from index.evaluation_items import NONE
from index.vector_file import VectorFile, write_vectors
from index.vectors import pack, unpack


@pytest.fixture
def vectors(tmp_path):
    drawn = [pack(vector, DIM) for vector in clustered(130, clusters=9)]
    write_vectors(tmp_path / "v", enumerate(drawn))
    return VectorFile(tmp_path / "v", len(drawn), DIM), unpack(drawn, DIM)


def naive(stored, question, gallery, k):
    others = [other for other in gallery if other != question]
    others.sort(key=lambda other: -float(stored[question] @ stored[other]))
    return others[:k]


@pytest.mark.parametrize(("questions_at_once", "gallery_at_once"), [(4096, 50_000), (7, 11)])
def test_neighbours_are_those_of_a_loop_in_blocks_of_any_size(vectors, monkeypatch, questions_at_once, gallery_at_once):
    monkeypatch.setattr(neighbours_module, "QUESTIONS_AT_ONCE", questions_at_once)
    monkeypatch.setattr(neighbours_module, "GALLERY_AT_ONCE", gallery_at_once)
    file, stored = vectors
    questions, gallery, told = np.arange(3, 60), np.arange(0, 130, 2), []
    found = nearest(file, questions, gallery, 6, told.append)
    assert sum(told) == len(questions)
    for row, question in enumerate(questions):
        expected = naive(stored, question, gallery.tolist(), 6)
        assert found.positions_QK[row].tolist() == expected
        assert found.distances_QK[row] == pytest.approx(
            [1 - stored[question] @ stored[one] for one in expected], abs=1e-6
        )


def test_where_there_are_fewer_there_is_nobody(vectors):
    file, _ = vectors
    found = nearest(file, np.array([0, 9]), np.array([0, 1, 2]), 5)
    assert (found.positions_QK == NOBODY).sum(axis=1).tolist() == [3, 2]
    assert np.isinf(found.distances_QK[found.positions_QK == NOBODY]).all()
    assert set(found.positions_QK[0].tolist()) == {1, 2, NOBODY}
    nothing = nearest(file, np.array([], np.int64), np.array([], np.int64), 5)
    assert nothing.positions_QK.shape == (0, 5)
    assert (nearest(file, np.array([4]), np.array([], np.int64), 5).positions_QK == NOBODY).all()


def test_distances_to_labels_are_those_of_a_loop(vectors):
    file, stored = vectors
    generator = np.random.default_rng(0)
    codes = generator.integers(-1, 12, 130).astype(np.int32)
    codes[[5, 6]] = [12, 13]  # of which there is one item each
    members = np.flatnonzero(codes != NONE)
    found = nearest(file, members, np.arange(130), 10)
    counts = np.bincount(codes[members])
    wanted = generator.integers(0, 14, len(members)).astype(np.int32)
    wanted[::2] = codes[members][::2]
    few = few_of(wanted, codes[members], counts)
    own = distances_to(file, found, codes, members, wanted, few)
    other, other_distance = nearest_other_label(found, codes, wanted, few)
    first = nearest_label(found, codes)

    def to(question, code, among, num):
        near = naive(stored, question, [one for one in among if codes[one] == code], num)
        return np.mean([1 - stored[question] @ stored[one] for one in near]) if len(near) == num else np.inf

    for row, question in enumerate(members.tolist()):
        others_of_label = [one for one in members.tolist() if codes[one] == wanted[row] and one != question]
        assert few[row] == min(FEW, len(others_of_label))
        if not others_of_label:
            assert np.isnan(own[row])
            continue
        assert own[row] == pytest.approx(to(question, wanted[row], members.tolist(), few[row]), abs=1e-6)
        near = naive(stored, question, range(130), 10)
        distances = {code: to(question, code, near, few[row]) for code in range(14) if code != wanted[row]}
        best = min(distances, key=distances.get)
        assert other_distance[row] == pytest.approx(distances[best], abs=1e-6)
        assert other[row] == (best if np.isfinite(distances[best]) else NONE)
        assert first[row] == next((codes[one] for one in near if codes[one] != NONE), NONE)
