"""Export: what is written agrees with torch, and what does not agree is not written."""

import numpy as np
import pytest
import torch
from pictures import write_picture_folder

from encoder.bundle import Bundle
from encoder.errors import BundleError, ParityError, SourceError
from export import bundling
from export.bundling import export_run
from export.onnx_graph import to_onnx
from training.checkpoint import build_model
from training.embedders import BundleEmbedder, labelled_pictures, run_embedders
from training.embedding import EmbeddingModel
from training.recipe import Recipe
from training.trainer import train

CPU = torch.device("cpu")
RECIPE = Recipe(
    encoder="nano", image_size=32, patch_size=8, hidden_dim=32, projection_dim=16, epochs=2, batch_size=6, lr=1e-3
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_picture_folder(tmp_path_factory.mktemp("export") / "photos", per_label=4)


@pytest.fixture(scope="module")
def run(photos):
    path = photos.parent / "run"
    train(RECIPE, photos, path, device=CPU, quiet=True)
    return path


@pytest.fixture(scope="module")
def bundle(run):
    export_run(run, run.parent / "bundle", domain="coloured fields")
    return Bundle.open(run.parent / "bundle")


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("feature", ["cls", "mean", "cls+mean"])
def test_graph_and_torch_agree(batch_size, feature, tmp_path):
    model = EmbeddingModel(build_model(RECIPE).base.backbone, feature).eval()
    pixels = np.random.default_rng(batch_size).integers(0, 256, (batch_size, 32, 32, 3), np.uint8)
    with torch.inference_mode():
        expected, expected_attention = (output.numpy() for output in model(torch.from_numpy(pixels)))
    import onnxruntime

    session = onnxruntime.InferenceSession(to_onnx(model), providers=["CPUExecutionProvider"])
    found, attention = session.run(["embedding", "attention"], {"pixels": pixels})
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(attention, expected_attention, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(attention.sum(axis=1), 1, atol=1e-5)


def test_the_manifest_says_what_it_is(bundle):
    manifest = bundle.manifest
    assert (manifest.embedding_dim, manifest.patch_grid, manifest.feature) == (192, (4, 4), "cls")
    assert manifest.trained_on.startswith("12 unlabelled pictures of photos, 2 epochs")
    assert manifest.domain == "coloured fields"
    assert manifest.recipe["encoder"] == "nano"
    assert manifest.variants["fp32"].parity["min_cosine"] > 0.99999
    assert manifest.variants["fp32"].parity["num_pictures"] == 12


def test_the_file_holds_no_path_of_the_machine(bundle):
    content = bundle.variant_path().read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content


def test_run_and_bundle_embed_alike(run, bundle, photos):
    pictures, encoder = labelled_pictures(photos), run_embedders(run, CPU, baselines=False)["encoder"]
    np.testing.assert_allclose(encoder(pictures), BundleEmbedder(bundle.path)(pictures), atol=1e-5)


def test_half_weights_halve_the_file_and_agree(run, bundle, tmp_path):
    manifest, parity = export_run(run, tmp_path / "half", half_weights=True)
    assert parity.min_cosine > 0.9999
    assert manifest.id != bundle.manifest.id
    sizes = [Bundle.open(path).variant_path().stat().st_size for path in (tmp_path / "half", bundle.path)]
    assert sizes[0] < 0.55 * sizes[1]


def test_a_graph_that_disagrees_is_not_written(run, tmp_path, monkeypatch):
    other = EmbeddingModel(build_model(Recipe(**RECIPE.__dict__ | {"seed": 9})).base.backbone, "cls").eval()
    monkeypatch.setattr(bundling, "to_onnx", lambda model: to_onnx(other))
    with pytest.raises(ParityError, match="disagrees with torch"):
        export_run(run, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_the_untrained_control_is_the_same_network_with_its_initial_weights(run, bundle, photos, tmp_path):
    manifest, _ = export_run(run, tmp_path / "untrained", untrained=True)
    assert manifest.trained_on.startswith("nothing")
    assert manifest.id != bundle.manifest.id
    pictures = labelled_pictures(photos)
    expected = run_embedders(run, CPU, baselines=True)["untrained"](pictures)
    np.testing.assert_allclose(BundleEmbedder(tmp_path / "untrained")(pictures), expected, atol=1e-5)


def test_without_pictures_there_is_no_proof_and_no_bundle(run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="--pictures"):
        export_run(run, tmp_path / "bundle", pictures=tmp_path / "empty")
    assert not (tmp_path / "bundle").exists()


def test_what_is_there_is_not_overwritten_unasked(run, tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "thesis.doc").write_text("years of work")
    with pytest.raises(BundleError, match="--overwrite"):
        export_run(run, tmp_path / "bundle")
    assert (tmp_path / "bundle" / "thesis.doc").exists()
