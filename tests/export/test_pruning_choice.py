"""Choosing a pruning: costs by hand, the cheapest that finds as well, and an honest end where none does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from encoder.errors import ParityError
from encoder.manifest import Preprocessing, Pruning
from export.network import Network
from export.pruning_choice import choose_pruning, pruning_cost, prunings


class PatchesThatMatter(nn.Module):
    """Embeds a picture by its first pixel, unless fewer than half of the patches are kept, or after layer 1."""

    def __init__(self, pruning):
        super().__init__()
        self.pruning = pruning

    def forward(self, pixels):
        angle = pixels[:, 0, 0, 0].float() / 255
        if self.pruning and (self.pruning.keep_ratio < 0.5 or self.pruning.after_layer < 2):
            angle = angle.flip(0) * 7
        return (torch.stack([angle.cos(), angle.sin()], dim=1),)


NETWORK = Network(
    reference=PatchesThatMatter(None),
    make_graph=lambda _outputs, _fused, pruning: PatchesThatMatter(pruning),
    outputs=("embedding",),
    preprocessing=Preprocessing(
        image_size=8, resize="shortest_side", crop_fraction=1.0, interpolation="bicubic",
        mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0),
    ),
    embedding_dim=2, token_dim=None, patch_grid=None, depth=6, source="x", feature="cls", licence="", trained_on="",
    domain="",
)  # fmt: skip
PIXELS = np.repeat(np.arange(0, 240, 10, dtype=np.uint8), 8 * 8 * 3).reshape(24, 8, 8, 3)
LABELS = [str(number // 3) for number in range(24)]


def test_cost_by_hand():
    # Six layers: five whole and a sixth of one; after 2, three and the sixth see half.
    assert pruning_cost(Pruning(after_layer=2, keep_ratio=0.5), 6) == pytest.approx(
        (2 + 0.5 * (3 + 1 / 6)) / (5 + 1 / 6)
    )


def test_the_cheapest_first():
    costs = [pruning_cost(pruning, 12) for pruning in prunings(12)]
    assert costs == sorted(costs)
    assert all(1 <= pruning.after_layer < 12 for pruning in prunings(12))
    assert prunings(2)


def test_the_cheapest_that_finds_as_well_is_taken():
    pruning, trials = choose_pruning(NETWORK, PIXELS, LABELS, 0.99)
    assert pruning.after_layer >= 2
    assert pruning.keep_ratio >= 0.5
    assert trials[-1].pruning == pruning
    cheaper = [one for one in prunings(6) if pruning_cost(one, 6) < pruning_cost(pruning, 6)]
    assert all(one.keep_ratio < 0.5 or one.after_layer < 2 for one in cheaper)
    assert [trial.pruning for trial in trials[:-1]] == cheaper


def test_where_none_does_the_best_is_told():
    useless = Pruning(after_layer=1, keep_ratio=0.1)
    spoilt = replace(NETWORK, make_graph=lambda _outputs, _fused, pruning: PatchesThatMatter(pruning and useless))
    with pytest.raises(
        ParityError, match=r"no pruning keeps 99% of the dense encoder's mAP on these 24 pictures; the best"
    ):
        choose_pruning(spoilt, PIXELS, LABELS, 0.99)
