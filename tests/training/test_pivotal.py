"""The pivotal mask against the paper's rule written as a sort and a loop."""

import pytest
import torch

from training.pivotal import fuse_attention, kept_patches, pivotal_mask, random_mask, zero_masked


def mask_by_sorting(scores, keep_ratio):
    """Keep what is strictly above the score at position int(ratio * P) of the descending sort."""
    threshold = sorted(scores, reverse=True)[int(keep_ratio * len(scores))]
    return [score > threshold for score in scores]


@pytest.mark.parametrize("num_patches", [9, 64, 196])
@pytest.mark.parametrize("keep_ratio", [0.1, 0.3, 0.5])
def test_equals_sort_and_threshold(num_patches, keep_ratio):
    scores = torch.randn(16, num_patches, generator=torch.Generator().manual_seed(num_patches))
    expected = [mask_by_sorting(row, keep_ratio) for row in scores.tolist()]
    assert pivotal_mask(scores, keep_ratio).tolist() == expected


def test_equals_sort_and_threshold_among_many_ties():
    scores = torch.randint(0, 7, (200, 64), generator=torch.Generator().manual_seed(1)).float().log()  # log 0 is -inf
    expected = [mask_by_sorting(row, 0.3) for row in scores.tolist()]
    assert pivotal_mask(scores, 0.3).tolist() == expected


def test_ties_at_the_threshold_are_dropped():
    scores = torch.tensor([[5.0, 3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0]])
    assert pivotal_mask(scores, 0.3).tolist() == [mask_by_sorting(scores[0].tolist(), 0.3)]
    assert pivotal_mask(scores, 0.3).sum() == 1


def test_equal_scores_keep_nothing():
    assert not pivotal_mask(torch.ones(1, 196), 0.3).any()


def test_58_of_196():
    scores = torch.randperm(196).float()[None]
    assert pivotal_mask(scores, 0.30).sum() == 58
    assert kept_patches(scores, 0.30).shape == (1, 58)


def test_sum_of_logs_picks_the_mask_of_the_product():
    generator = torch.Generator().manual_seed(3)
    attention = torch.randn(12, 8, 196, generator=generator, dtype=torch.float64).softmax(dim=-1)
    product = attention.prod(dim=0)
    fused = fuse_attention(attention.float())
    assert torch.equal(pivotal_mask(fused, 0.3), pivotal_mask(product, 0.3))


def test_attention_that_underflows_stays_finite():
    attention = torch.full((12, 1, 4), 1e-30)
    attention[:, :, 0] = 0.0
    fused = fuse_attention(attention)
    assert torch.isfinite(fused).all()
    assert fused[0].argmin() == 0


def test_kept_patches_are_the_mask():
    scores = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    kept = torch.zeros(5, 64, dtype=torch.bool).scatter(1, kept_patches(scores, 0.3), True)
    assert torch.equal(kept, pivotal_mask(scores, 0.3))


def test_random_mask_keeps_as_many():
    mask = random_mask(6, 196, 0.3, torch.Generator().manual_seed(0))
    assert mask.sum(dim=1).tolist() == [58] * 6
    assert not torch.equal(mask[0], mask[1])


def test_zero_masked_clears_whole_patches_and_nothing_else():
    pixels = torch.rand(2, 3, 12, 12) + 1
    mask = torch.rand(2, 9, generator=torch.Generator().manual_seed(2)) > 0.5
    masked = zero_masked(pixels, mask)
    for picture in range(2):
        for patch in range(9):
            row, column = divmod(patch, 3)
            window = (picture, slice(None), slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4))
            expected = pixels[window] if mask[picture, patch] else torch.zeros(3, 4, 4)
            assert torch.equal(masked[window], expected)
