"""Published weights exported as they are, in the layouts that training begins from."""

import pickle

import numpy as np
import pytest
import torch

from encoder.errors import ConfigError
from export.our_network import published_network, run_network
from training.checkpoint import RunState, build_model, save_checkpoint
from training.recipe import Recipe
from training.vit import build_vit

SETTINGS = {"encoder": "nano", "image_size": 32, "patch_size": 8}


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(3)
    return build_vit("nano", image_size=32, patch_size=8)


def torchvision_names(state):
    """The same tensors under torchvision's names."""
    renamed = {
        "class_token": state["cls_token"],
        "encoder.pos_embedding": state["pos_embed"],
        "conv_proj.weight": state["patch_embed.proj.weight"],
        "conv_proj.bias": state["patch_embed.proj.bias"],
        "encoder.ln.weight": state["norm.weight"],
        "encoder.ln.bias": state["norm.bias"],
    }
    parts = {
        "norm1": "ln_1", "norm2": "ln_2", "attn.proj": "self_attention.out_proj", "mlp.fc1": "mlp.0",
        "mlp.fc2": "mlp.3",
    }  # fmt: skip
    for layer in range(6):
        theirs = f"encoder.layers.encoder_layer_{layer}."
        for kind in ("weight", "bias"):
            for ours, name in parts.items():
                renamed[f"{theirs}{name}.{kind}"] = state[f"blocks.{layer}.{ours}.{kind}"]
            renamed[f"{theirs}self_attention.in_proj_{kind}"] = state[f"blocks.{layer}.attn.qkv.{kind}"]
    return renamed


@pytest.mark.parametrize("layout", ["timm", "torchvision"])
def test_the_network_is_that_of_the_file(backbone, layout, tmp_path):
    state = backbone.state_dict()
    path = tmp_path / "weights.pth"
    torch.save(torchvision_names(state) if layout == "torchvision" else {"model": state}, path)
    network, report = published_network(str(path), SETTINGS)
    assert report.layout == layout
    assert network.source == f"weights.pth ({layout} layout)"
    assert network.pictures is None
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8))
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (network.preprocessing.mean, network.preprocessing.std))
    with torch.inference_mode():
        cls = backbone((pixels.permute(0, 3, 1, 2) / 255 - mean) / std).cls_BD
        found = network.reference(pixels)[0]
    torch.testing.assert_close(found, torch.nn.functional.normalize(cls, dim=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "changes", [{"init": "gone.pth"}, {"stem": "conv", "stem_init": "pca", "whitening": 0.5}], ids=["init", "pca"]
)
def test_an_untrained_network_is_random_and_says_nothing_of_what_training_began_from(tmp_path, changes):
    recipe = Recipe(**SETTINGS, hidden_dim=32, projection_dim=16, **changes)
    model = build_model(recipe)
    expected = {name: tensor.clone() for name, tensor in model.base.backbone.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    if model.whitening is not None:
        model.whitening.learn(torch.randn(300, 192, generator=torch.Generator().manual_seed(0)))
    save_checkpoint(tmp_path, model, None, RunState(recipe, 5, "photos", 12, 1.0))
    network = run_network(tmp_path, untrained=True)
    found = network.reference.backbone.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert network.trained_on == "nothing: these are random weights"
    assert (network.recipe["init"], network.recipe["stem_init"], network.recipe["whitening"]) == ("", "random", 0)
    assert network.feature == "cls"


def test_an_encoder_with_random_parts_is_refused(backbone, tmp_path):
    state = {name: tensor for name, tensor in backbone.state_dict().items() if not name.startswith("norm.")}
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(ConfigError, match=r"does not fill the whole network; it lacks norm\.weight"):
        published_network(str(tmp_path / "cut.pth"), SETTINGS)


class Runs:
    """What a pickle of more than tensors can do."""

    def __reduce__(self):
        return (pytest.fail, ("a pickled file was run",))


def test_pickles_of_more_than_tensors_are_not_run(tmp_path):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"cls_token": Runs()}))
    torch.save({"cls_token": torch.zeros(1), "extra": Runs()}, tmp_path / "evil2.pth")
    for name in ("evil.pth", "evil2.pth"):
        with pytest.raises(ConfigError) as caught:
            published_network(str(tmp_path / name), SETTINGS)
        assert "\n" not in caught.value.message
        assert name in caught.value.message


def test_shapes_that_do_not_fit_name_the_flags(backbone, tmp_path):
    torch.save(backbone.state_dict(), tmp_path / "w.pth")
    cases = {
        r"6 layers deep \(--encoder nano\)": {"encoder": "tiny"},
        r"patches are 8 pixels \(--patch-size 8\)": {"patch_size": 16},
        r"positions are embeddings \(--positions sincos\)": {"positions": "rope"},
    }
    for message, changes in cases.items():
        with pytest.raises(ConfigError, match=message):
            published_network(str(tmp_path / "w.pth"), {**SETTINGS, **changes})
    with pytest.raises(ConfigError, match="features cls and mean"):
        published_network(str(tmp_path / "w.pth"), {**SETTINGS, "feature": "projector"})
