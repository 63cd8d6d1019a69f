"""InfoNCE against loops written from the paper."""

import math

import pytest
import torch

from training.losses import info_nce, repeated_pictures


def info_nce_by_loops(queries, keys, temperature):
    """MoCo v3, Alg. 1, `ctr`, one scalar at a time."""

    def unit(vector):
        norm = math.sqrt(sum(value * value for value in vector))
        return [value / norm for value in vector]

    queries, keys = [unit(q) for q in queries], [unit(k) for k in keys]
    total = 0.0
    for i, query in enumerate(queries):
        logits = [sum(a * b for a, b in zip(query, key, strict=True)) / temperature for key in keys]
        total += -logits[i] + math.log(sum(math.exp(logit) for logit in logits))
    return 2 * temperature * total / len(queries)


@pytest.mark.parametrize("temperature", [0.1, 0.2, 1.0])
def test_equals_the_paper_by_loops(temperature):
    generator = torch.Generator().manual_seed(1)
    queries, keys = torch.randn(7, 5, generator=generator), torch.randn(7, 5, generator=generator)
    expected = info_nce_by_loops(queries.tolist(), keys.tolist(), temperature)
    assert float(info_nce(queries, keys, temperature)) == pytest.approx(expected, rel=1e-5)


def test_a_single_pair_has_nothing_to_tell_apart():
    assert float(info_nce(torch.randn(1, 4), torch.randn(1, 4), 0.2)) == 0.0


def test_perfect_orthogonal_pairs_by_hand():
    """Two orthogonal unit pairs at T = 0.5: loss = 2T * log(1 + exp(-1/T))."""
    expected = 2 * 0.5 * math.log(1 + math.exp(-2))
    assert float(info_nce(torch.eye(2) * 3, torch.eye(2) * 7, 0.5)) == pytest.approx(expected, rel=1e-6)


def test_half_precision_inputs_are_compared_in_float32():
    queries, keys = torch.randn(6, 8).bfloat16(), torch.randn(6, 8).bfloat16()
    assert info_nce(queries, keys, 0.2).dtype == torch.float32
    assert torch.equal(info_nce(queries, keys, 0.2), info_nce(queries.float(), keys.float(), 0.2))


def test_an_excluded_key_is_as_if_it_were_not_there():
    generator = torch.Generator().manual_seed(2)
    query, keys = torch.randn(1, 5, generator=generator), torch.randn(6, 5, generator=generator)
    excluded = torch.tensor([[False, True, False, False, True, False]])
    left = keys[[0, 2, 3, 5]]
    expected = float(info_nce(query, left, 0.2, 1))  # its positive is key 2, now in place 1
    assert float(info_nce(query, keys, 0.2, 2, excluded)) == pytest.approx(expected, rel=1e-6)


def test_repeated_pictures_by_hand():
    """Rows 2 and 3 of pictures a a a b b b: the keys of the same picture but themselves."""
    assert repeated_pictures(2, 6, 2, 3).tolist() == [
        [True, True, False, False, False, False],
        [False, False, False, False, True, True],
    ]
    assert not repeated_pictures(3, 6, 3, 1).any()


def test_mixed_precision_does_not_reach_the_cosines():
    """Two keys whose cosines differ by less than bf16 can tell are still told apart."""
    generator = torch.Generator().manual_seed(0)
    query, keys = torch.randn(8, 64, generator=generator), torch.randn(8, 64, generator=generator)
    exact = info_nce(query, keys, 0.2)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = info_nce(query, keys, 0.2)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, exact)
