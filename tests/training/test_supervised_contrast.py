"""The supervised contrastive loss against loops written from its paper, and against InfoNCE where it must be that."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.losses import info_nce, supervised_contrast


def loss_by_loops(queries, keys, labels, key_labels, temperature, first):
    """Khosla et al., Eq. 2 (L_out) with the momentum keys as contrast set, one scalar at a time; one rank."""

    def unit(vector):
        norm = math.sqrt(sum(value * value for value in vector))
        return [value / norm for value in vector]

    queries, keys = [unit(q) for q in queries], [unit(k) for k in keys]
    total = 0.0
    for i, query in enumerate(queries):
        logits = [sum(a * b for a, b in zip(query, key, strict=True)) / temperature for key in keys]
        denominator = sum(math.exp(logit) for logit in logits)
        same = [j for j in range(len(keys)) if labels[i] != -1 and key_labels[j] == labels[i]]
        positives = {first + i, *same}
        total += -sum(math.log(math.exp(logits[p]) / denominator) for p in positives) / len(positives)
    return 2 * temperature * total / len(queries)


def drawn(num_queries, num_keys, seed=1, dim=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_queries, dim, generator=generator), torch.randn(num_keys, dim, generator=generator)


def column(labels):
    return torch.tensor(labels)[:, None]


@pytest.mark.parametrize("temperature", [0.1, 0.2, 1.0])
@pytest.mark.parametrize("first", [0, 3])
@given(labels=st.lists(st.integers(-1, 3), min_size=9, max_size=9))
@settings(max_examples=25, deadline=None)
def test_equals_the_paper_by_loops(temperature, first, labels):
    queries, keys = drawn(6, 9)
    own = labels[first : first + 6]
    expected = loss_by_loops(queries.tolist(), keys.tolist(), own, labels, temperature, first)
    found = supervised_contrast(queries, keys, column(own), column(labels), (1.0,), temperature, first)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("labels", [list(range(64)), [-1] * 64], ids=["all different", "none"])
@pytest.mark.parametrize("first", [0, 31])
def test_without_a_shared_label_it_is_info_nce_bit_for_bit(labels, first):
    queries, keys = drawn(33, 64, dim=16)
    own = column(labels[first : first + 33])
    found = supervised_contrast(queries, keys, own, column(labels), (1.0,), 0.2, first)
    assert torch.equal(found, info_nce(queries, keys, 0.2, first))


def test_two_ranks_by_hand():
    """T = 1, orthogonal unit keys, each query equal to its own key, so a logit is 1 for its own key and 0 elsewhere.

    With Z = e + 2, log-softmax is 1 - log Z for the own key and -log Z else. Models are a, a, b of one make. Among
    models, rows 1 and 2 have two positives, -(1 - 2 log Z) / 2, and row 3 has one, -(1 - log Z); among makes each row
    has three, -(1 - 3 log Z) / 3.
    """
    log_z = math.log(math.e + 2)
    model = (2 * (log_z - 1 / 2) + (log_z - 1)) / 3
    make = log_z - 1 / 3
    labels = torch.tensor([[0, 0], [0, 0], [1, 0]])
    for weights, expected in (
        ((1.0,), model),
        ((0.0, 1.0), make),
        ((1.0, 0.5), (model + 0.5 * make) / 1.5),
        ((2.0, 1.0), (model + 0.5 * make) / 1.5),  # the weights are relative
    ):
        ranks = labels[:, : len(weights)]
        found = supervised_contrast(torch.eye(3), torch.eye(3), ranks, ranks, weights, 1.0)
        assert float(found) == pytest.approx(2 * expected, rel=1e-6), weights


def test_a_picture_without_a_label_is_its_own_positive_alone_and_nobodys():
    """Its row is InfoNCE's, and to the others it is a negative whatever else has no label."""
    queries, keys = drawn(4, 4)
    labels = column([0, -1, 0, -1])
    for row, positives in enumerate(([0, 2], [1], [2, 0], [3])):
        query, label = queries[row : row + 1], labels[row : row + 1]
        found = supervised_contrast(query, keys, label, labels, (1.0,), 0.2, row)
        terms = [info_nce(query, keys, 0.2, positive) for positive in positives]
        torch.testing.assert_close(found, torch.stack(terms).mean())


def test_more_alike_keys_of_its_label_lower_the_loss_and_of_another_raise_it():
    queries, _ = drawn(3, 3)
    keys = torch.randn(3, 5, generator=torch.Generator().manual_seed(9), requires_grad=True)
    labels = column([0, 0, 1])
    supervised_contrast(queries[:1], keys, labels[:1], labels, (1.0,), 1.0).backward()
    towards = (keys.grad * queries[0]).sum(dim=1)
    assert towards[2] > 0
    assert towards[:2].min() < 0


def test_half_precision_inputs_are_compared_in_float32():
    queries, keys = (rows.bfloat16() for rows in drawn(6, 6))
    labels = column([0, 0, 1, 1, 2, -1])
    found = supervised_contrast(queries, keys, labels, labels, (1.0,), 0.2)
    assert found.dtype == torch.float32
    assert torch.equal(found, supervised_contrast(queries.float(), keys.float(), labels, labels, (1.0,), 0.2))
