"""Linear probing learns what a linear layer can, and its protocol is the paper's."""

import numpy as np
import pytest
import torch

from encoder.errors import SourceError
from training import linear_probe as module
from training.linear_probe import linear_probe


def clusters(num_labels, per_label, seed, dim=16, noise=0.3):
    directions = np.random.default_rng(0).normal(size=(num_labels, dim))
    rng = np.random.default_rng(seed)
    embeddings = np.repeat(directions, per_label, axis=0) + rng.normal(0, noise, (num_labels * per_label, dim))
    return embeddings.astype(np.float32), [f"l{n}" for n in range(num_labels) for _ in range(per_label)]


def test_separable_labels_are_learnt_and_the_rest_is_chance():
    train, labels = clusters(8, 40, seed=1)
    test, test_labels = clusters(8, 25, seed=2)
    assert linear_probe(test, test_labels, train, labels).top_1_Q.mean() > 0.99
    shuffled = list(np.random.default_rng(3).permutation(labels))
    hits = linear_probe(test, test_labels, train, shuffled)
    assert hits.top_1_Q.mean() < 0.35
    assert 0.4 < hits.top_5_Q.mean() < 0.85


def test_what_is_linear_is_learnt_where_neighbours_fail():
    """The label is the sign of one small coordinate under large noise in the others."""
    rng = np.random.default_rng(4)
    embeddings = rng.normal(size=(1200, 24)).astype(np.float32)
    labels = ["up" if value > 0 else "down" for value in embeddings[:, 5]]
    hits = linear_probe(embeddings[800:], labels[800:], embeddings[:800], labels[:800])
    assert hits.top_1_Q.mean() > 0.93
    assert hits.top_5_Q.mean() == 1.0  # only two labels


def test_the_length_of_the_features_does_not_matter():
    train, labels = clusters(4, 10, seed=5)
    test, test_labels = clusters(4, 10, seed=6, noise=2.0)
    one, other = linear_probe(test, test_labels, train, labels), linear_probe(test * 1e-3, test_labels, train, labels)
    assert one.top_1_Q.tolist() == other.top_1_Q.tolist()


def test_the_protocol_is_the_papers(monkeypatch):
    """SGD with momentum 0.9, no weight decay, learning rate 0.5 x batch / 256, 100 epochs, batches of at most 256."""
    made, rates = [], []

    class Recorded(torch.optim.SGD):
        def __init__(self, params, **options):
            super().__init__(params, **options)
            made.append(options)

        def step(self):
            rates.append(self.param_groups[0]["lr"])
            super().step()

    monkeypatch.setattr(module.torch.optim, "SGD", Recorded)
    train, labels = clusters(4, 150, seed=7)
    linear_probe(train[:8], labels[:8], train, labels)
    (options,) = made
    assert (options["momentum"], options["weight_decay"]) == (0.9, 0.0)
    assert len(rates) == 100 * 3  # 600 pictures: 256, 256 and 88
    assert rates[0] == pytest.approx(0.5)
    assert rates[150] == pytest.approx(0.25)
    assert 0 < rates[-1] < 1e-4


def test_one_label_cannot_be_told_from_nothing():
    with pytest.raises(SourceError, match="all its pictures are 'a'"):
        linear_probe(np.ones((2, 3), np.float32), ["a", "a"], np.ones((2, 3), np.float32), ["a", "a"])
