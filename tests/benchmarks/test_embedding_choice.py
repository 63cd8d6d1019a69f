"""Features and whitening of the benchmark against those of the encoder that would be exported."""

from dataclasses import replace
from types import SimpleNamespace

import embedding_choice
import numpy as np
import pytest
import torch

from training.augmentation import normalise
from training.checkpoint import build_model
from training.embedding import EmbeddingModel
from training.recipe import Recipe

RECIPE = Recipe(encoder="nano", image_size=32, patch_size=16, hidden_dim=32, projection_dim=16, whitening=0.75)


@pytest.mark.parametrize("feature", embedding_choice.FEATURES)
def test_it_is_the_embedding_of_a_run_with_that_feature(feature):
    torch.manual_seed(1)
    network = build_model(replace(RECIPE, feature=feature))
    pixels = np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    views = normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
    with torch.inference_mode():
        raw = EmbeddingModel(network.base.backbone.eval(), feature).joined(network.base.backbone(views))
        network.whitening.learn(raw)
        expected = EmbeddingModel.from_lodisc(network, feature).embedding(network.base.backbone(views))

    split = SimpleNamespace(pixels=lambda preprocessing: pixels)
    parts = embedding_choice.parts_of(EmbeddingModel(network.base.backbone, embedding_choice.PARTS).eval(), split, 32)
    joined = embedding_choice.join(parts, feature)
    whitened = embedding_choice.learnt_whitening(joined, feature, 0.75)(joined)
    assert (whitened * expected).sum(dim=1).numpy() == pytest.approx(np.ones(300), abs=1e-4)
