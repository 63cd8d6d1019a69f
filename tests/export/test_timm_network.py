"""Models of timm with random weights from local files: agree with timm's own forward; and what is refused."""

import json

import numpy as np
import pytest
import torch
from pictures import write_picture_folder
from safetensors.torch import load_file, save_file
from torchvision_schemas import define_missing_schemas

define_missing_schemas()
timm = pytest.importorskip("timm", reason="pip install -e '.[timm]'")

from encoder.bundle import Bundle  # noqa: E402 (after timm could be imported)
from encoder.errors import ConfigError  # noqa: E402
from encoder.image_encoder import ImageEncoder  # noqa: E402
from encoder.preprocessing import decode_picture, preprocess  # noqa: E402
from export.bundling import ExportOptions, export_network  # noqa: E402
from export.timm_network import timm_network  # noqa: E402

VIT = "vit_tiny_patch16_224"


def weights_file(folder, name, seed=0, **changes):
    """Random weights of a timm model, as its own state has them."""
    torch.manual_seed(seed)
    model = timm.create_model(name, pretrained=False, **changes)
    path = folder / f"{name}.safetensors"
    save_file(model.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def vit_file(tmp_path_factory):
    return weights_file(tmp_path_factory.mktemp("timm"), VIT)


@pytest.fixture(scope="module")
def vit(vit_file):
    return timm_network(VIT, vit_file)


def test_what_the_manifest_will_say(vit):
    assert vit.outputs == ("embedding", "attention", "tokens")
    assert (vit.patch_grid, vit.embedding_dim, vit.token_dim) == ((14, 14), 192, 192)
    assert vit.licence == "apache-2.0"
    assert vit.source == f"timm {VIT}, {VIT}.safetensors"
    # Its own data config: 224 after cropping 0.9, mean and std of one half.
    preprocessing = vit.preprocessing
    assert (preprocessing.image_size, preprocessing.resize, preprocessing.crop_fraction) == (224, "shortest_side", 0.9)
    assert (preprocessing.interpolation, preprocessing.mean, preprocessing.std) == ("bicubic", (0.5,) * 3, (0.5,) * 3)


def test_embedding_attention_and_features_are_timm_s(vit, vit_file):
    """Against timm's forward with a classifier, and attention by full matrices from the weights."""
    model = timm.create_model(VIT, pretrained=False)
    model.load_state_dict(load_file(vit_file))
    model.eval()
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8))
    with torch.inference_mode():
        normalised = (pixels.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
        features = model.forward_features(normalised)
        expected = torch.nn.functional.normalize(model.forward_head(features, pre_logits=True), dim=1)
        product = 1
        x = model.norm_pre(model._pos_embed(model.patch_embed(normalised)))
        for block in model.blocks:
            y = block.norm1(x)
            q, k, _ = block.attn.qkv(y).reshape(2, 197, 3, 3, 64).permute(2, 0, 3, 1, 4)
            product = product * (q.double() @ k.double().transpose(-2, -1) / 8).softmax(-1).mean(1)
            x = block(x)
        scores = product[:, 0, 1:]
        found, attention = vit.reference(pixels)
        tokens = vit.make_graph(("tokens",), False, None)(pixels)[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(attention.double(), scores / scores.sum(1, keepdim=True), atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(tokens, features[:, 1:], atol=1e-5, rtol=0)


def test_a_timm_model_becomes_a_bundle(tmp_path):
    vit = timm_network("test_vit", weights_file(tmp_path, "test_vit"))  # timm's own for tests: 160 pixels, 64 wide
    photos = write_picture_folder(tmp_path / "photos", per_label=1)
    report = export_network(vit, tmp_path / "bundle", ExportOptions(pictures=photos))
    assert report.parity["fp32"].max_difference <= 1e-5
    encoder = ImageEncoder(Bundle.open(tmp_path / "bundle"))
    picture = decode_picture((photos / "red" / "0.png").read_bytes())
    pixels = preprocess(picture, vit.preprocessing)[None]
    with torch.inference_mode():
        expected, attention = (output.numpy() for output in vit.reference(torch.from_numpy(pixels.copy())))
    found = encoder.encode(pixels, attention=True)
    np.testing.assert_allclose(found.embedding_BD, expected, atol=1e-5)
    np.testing.assert_allclose(found.attention_BP, attention, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "outputs", "grid", "num_prefix"),
    [
        ("vit_base_patch32_siglip_256", ("embedding", "tokens"), (8, 8), 0),  # pooled by attention, no CLS
        ("swin_tiny_patch4_window7_224", ("embedding", "tokens"), (7, 7), None),  # rows and columns, channels last
        ("vit_small_patch14_reg4_dinov2", ("embedding", "attention", "tokens"), (37, 37), 5),
        ("vit_small_patch16_dinov3", ("embedding", "attention", "tokens"), (16, 16), 5),
    ],
)
def test_models_of_other_kinds(tmp_path, name, outputs, grid, num_prefix):
    network = timm_network(name, weights_file(tmp_path, name))
    assert (network.outputs, network.patch_grid) == (outputs, grid)
    side = network.preprocessing.image_size
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8))
    with torch.inference_mode():
        graph = network.make_graph(network.outputs, False, None)
        found = dict(zip(network.outputs, graph(pixels), strict=True))
    assert found["tokens"].shape == (1, grid[0] * grid[1], network.token_dim)
    assert found["embedding"].norm() == pytest.approx(1, abs=1e-5)
    if "attention" in outputs:
        assert found["attention"].shape == (1, grid[0] * grid[1])
        assert found["attention"].sum() == pytest.approx(1, abs=1e-5)
    assert getattr(graph.model, "num_prefix_tokens", None) == num_prefix


def test_a_folder_as_timm_s_hub_has_it(vit, vit_file, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(vit_file.read_bytes())
    config = {"architecture": VIT, "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "crop_pct": 1.0, "license": "mit"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for path in (tmp_path, tmp_path / "model.safetensors"):
        network = timm_network(str(path))
        assert (network.preprocessing.mean, network.preprocessing.crop_fraction) == ((0.1, 0.2, 0.3), 1.0)
        assert network.licence == "mit"
    pixels = torch.zeros(1, 224, 224, 3, dtype=torch.uint8) + 77
    with torch.inference_mode():
        assert not torch.equal(network.reference(pixels)[0], vit.reference(pixels)[0])  # other normalisation


def test_what_is_refused_in_one_line(vit_file, tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"blocks.0.attn.qkv.weight": torch.zeros(3, 3)}, other)
    (tmp_path / "broken.safetensors").write_bytes(vit_file.read_bytes()[:1000])
    (tmp_path / "empty").mkdir()
    cases = {
        ("no_such_vit", None): "timm has no model 'no_such_vit'",
        (VIT, tmp_path / "gone.safetensors"): "do not exist",
        (VIT, other): "could not be had from .*other.safetensors",
        ("vit_small_patch16_224", vit_file): "see whether they are of this model",
        (VIT, tmp_path / "broken.safetensors"): "could not be had from",
        (str(tmp_path / "empty"), None): "no config.json of timm beside it",
        (str(other), None): r"say it: --timm MODEL --weights",
        (str(other), other): "brings its own weights",
    }
    for (name, weights), message in cases.items():
        with pytest.raises(ConfigError, match=message) as caught:
            timm_network(name, weights)
        assert "\n" not in caught.value.message


def test_without_a_network_the_error_says_how_to_go_on(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"without a network, give the file of weights with --weights FILE"):
        timm_network("vit_small_patch32_224")
