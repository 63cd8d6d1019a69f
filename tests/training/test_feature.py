"""Features: single ones, joined ones and weighted ones, as vectors and in what is refused."""

import math

import pytest
import torch
from torch.nn import functional

from encoder.errors import ConfigError
from training.checkpoint import build_model
from training.embedding import EmbeddingModel
from training.feature import feature_weights, is_feature
from training.recipe import Recipe

RECIPE = Recipe(encoder="nano", image_size=32, patch_size=16, hidden_dim=32, projection_dim=16)


def test_weights_are_relative_and_of_length_one():
    assert feature_weights("cls") == {"cls": 1.0}
    assert feature_weights("3*mean") == {"mean": 1.0}
    found = feature_weights("cls+0.5*mean")
    assert list(found) == ["cls", "mean"]
    assert found["mean"] / found["cls"] == pytest.approx(0.5)
    assert math.hypot(*found.values()) == pytest.approx(1)
    assert feature_weights("2*cls+1*mean") == pytest.approx(found)


@pytest.mark.parametrize("text", ["", "cls+", "patches", "cls+cls", "0*cls", "0.5cls", "-1*cls", "cls * 2", "nan*cls"])
def test_what_is_no_feature(text):
    assert not is_feature(text)
    with pytest.raises(ConfigError, match="recipe field feature is .*such as cls\\+0.5\\*mean"):
        Recipe(feature=text)


def test_a_weighted_feature_has_the_cosines_of_its_parts_by_the_squares_of_their_weights():
    """The cosine of joined vectors is (w1^2 cos1 + w2^2 cos2) / (w1^2 + w2^2)."""
    torch.manual_seed(0)
    network = build_model(RECIPE)
    pixels = torch.rand(5, 3, 32, 32)
    with torch.inference_mode():
        model = EmbeddingModel.from_lodisc(network, "cls+0.5*mean")
        features = model.backbone(pixels)
        joined = model.embedding(features)
    cls = functional.normalize(features.cls_BD.double(), dim=1)
    mean = functional.normalize(features.patches_BPD.double().mean(dim=1), dim=1)
    expected = (cls @ cls.T + 0.25 * mean @ mean.T) / 1.25
    assert (joined.double() @ joined.double().T).numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    assert model.embedding_dim == joined.shape[1] == 2 * 192
