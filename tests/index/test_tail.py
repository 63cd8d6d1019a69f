"""The tail against a dictionary, and versions of it against each other."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from index.tail import Tail

DIM = 4


def vector(row):
    return np.random.default_rng(row).normal(size=DIM).astype(np.float32)


def content(tail, k=1000):
    """Rows and scores that a search of everything gives."""
    scores, rows = tail.search(np.ones((1, DIM), np.float32), k)
    return dict(zip(rows[0].tolist(), scores[0].tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(1, 40), max_size=6)), max_size=12))
def test_any_sequence_is_a_dictionary_and_older_versions_stay_what_they_were(changes):
    versions = [(Tail.empty(DIM), {})]
    next_row = 1
    for num_added, removed in changes:
        tail, truth = versions[-1]
        rows = list(range(next_row, next_row + num_added))
        next_row += num_added
        added = np.array([vector(row) for row in rows], np.float32).reshape(-1, DIM)
        tail = tail.after(np.array(rows, np.int64), added, removed)
        truth = {row: value for row, value in truth.items() if row not in removed}
        truth |= {row: float(vector(row).sum()) for row in rows}
        versions.append((tail, truth))
    for tail, truth in versions:
        assert len(tail) == len(truth)
        found = content(tail)
        assert found.keys() == truth.keys()
        for row, score in found.items():
            assert abs(score - truth[row]) < 1e-4
        best = sorted(truth.values(), reverse=True)[:3]
        assert np.allclose(sorted(content(tail, 3).values(), reverse=True), best, atol=1e-4)


def test_two_continuations_of_one_version_do_not_meet():
    start = Tail.empty(DIM).after(np.array([1]), vector(1)[None], set())
    for _ in range(2):  # so that there is room behind it
        start = start.after(np.array([2 + len(start)]), vector(2 + len(start))[None], set())
    left = start.after(np.array([10]), vector(10)[None], set())
    right = start.after(np.array([20]), vector(20)[None], set())
    assert set(content(left)) - set(content(start)) == {10}
    assert set(content(right)) - set(content(start)) == {20}


def test_a_change_does_not_copy_what_is_there():
    tail = Tail.empty(DIM).after(np.arange(1, 1001), np.ones((1000, DIM), np.float32), set())
    tail = tail.after(np.array([1001]), vector(1001)[None], set())
    buffer = tail.vectors.base
    for row in range(1002, 1900):
        tail = tail.after(np.array([row]), vector(row)[None], {row - 500})
    assert tail.vectors.base is buffer
