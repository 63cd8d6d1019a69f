"""The order of an epoch with groups of one label: every picture once, in groups, the same whoever asks."""

from collections import Counter

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.label_groups import grouped_order

LABELS = st.lists(st.integers(-1, 6), min_size=2, max_size=60)


def column(labels):
    return torch.tensor(labels)[:, None]


@given(labels=LABELS, group=st.integers(2, 6), epoch=st.integers(0, 50), seed=st.integers(0, 2**31))
@settings(max_examples=150, deadline=None)
def test_every_picture_once_and_no_labelled_one_left_alone(labels, group, epoch, seed):
    order = grouped_order(column(labels), epoch, seed, group).tolist()
    assert sorted(order) == list(range(len(labels)))
    assert grouped_order(column(labels), epoch, seed, group).tolist() == order
    counts = Counter(labels)
    for place, row in enumerate(order):
        neighbours = [order[near] for near in (place - 1, place + 1) if 0 <= near < len(order)]
        if labels[row] >= 0 and counts[labels[row]] >= 2:
            assert any(labels[near] == labels[row] for near in neighbours)


@given(sizes=st.lists(st.integers(1, 4), min_size=2, max_size=8), group=st.integers(2, 5), seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_whole_groups_fill_whole_batches(sizes, group, seed):
    """Where each label has a multiple of the group, so has a batch, and no group is cut by its end."""
    labels = [label for label, size in enumerate(sizes) for _ in range(size * group)]
    order = grouped_order(column(labels), 0, seed, group).tolist()
    for start in range(0, len(order), group):
        assert len({labels[row] for row in order[start : start + group]}) == 1


def test_groups_are_as_few_as_hold_a_label_and_equal_but_for_one():
    """9 pictures in groups of 4: 3, 3, 3. Between them singles, so that groups of one label can be told apart."""
    labels = [0] * 9 + [-1] * 300
    order = grouped_order(column(labels), 0, 7, 4).tolist()
    runs, length = [], 0
    for row in [*order, -1]:
        if row >= 0 and labels[row] == 0:
            length += 1
        elif length:
            runs.append(length)
            length = 0
    assert runs == [3, 3, 3]


def test_groups_and_their_order_are_drawn_anew_each_epoch():
    labels = [row // 8 for row in range(48)]
    orders = [grouped_order(column(labels), epoch, 0, 4).tolist() for epoch in range(2)]
    groups = [{frozenset(order[start : start + 4]) for start in range(0, 48, 4)} for order in orders]
    assert groups[0] != groups[1]
    first_labels = [[labels[order[start]] for start in range(0, 48, 4)] for order in orders]
    assert first_labels[0] != first_labels[1]
    assert any(one != other for one, other in zip(first_labels[0], first_labels[0][1:], strict=False))


def test_a_picture_is_grouped_by_the_finest_label_that_it_has():
    """Rank 1 has two models of make 0; three pictures have the make alone."""
    label_NR = torch.tensor([[0, 0], [0, 0], [1, 0], [1, 0], [-1, 0], [-1, 0], [-1, 1], [-1, 1]])
    order = grouped_order(label_NR, 0, 0, 2).tolist()
    assert {frozenset(order[start : start + 2]) for start in range(0, 8, 2)} == {
        frozenset(pair) for pair in ((0, 1), (2, 3), (4, 5), (6, 7))
    }
