"""Export: what is written agrees with torch, and what does not agree is not written."""

import re
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from pictures import write_picture_folder

from encoder.bundle import Bundle
from encoder.errors import BundleError, ConfigError, ParityError, ProviderUnavailableError, SourceError
from encoder.image_encoder import ImageEncoder
from encoder.manifest import Pruning
from encoder.parity import encoder_embedder, measure_parity
from export.bundling import ExportOptions, export_network
from export.our_network import run_network
from export.references import torch_embedder
from training.bundle_embedder import BundleEmbedder
from training.checkpoint import build_model
from training.embedders import labelled_pictures, run_embedders
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
def network(run):
    return run_network(run)


@pytest.fixture(scope="module")
def report(network, run):
    """Every variant that needs no GPU, in one bundle."""
    options = ExportOptions(int8=True, fp16=True, prune="2:0.5", domain="coloured fields", floor=0.5, name="fields")
    return export_network(network, run.parent / "bundle", options)


@pytest.fixture(scope="module")
def bundle(report, run):
    return Bundle.open(run.parent / "bundle")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), np.uint8)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 32])
def test_fp32_and_torch_agree_on_every_output(network, bundle, pixels, batch_size):
    encoder = ImageEncoder(bundle)
    with torch.inference_mode():
        expected, attention = (output.numpy() for output in network.reference(torch.from_numpy(pixels[:batch_size])))
        normalised = pixels[:batch_size].transpose(0, 3, 1, 2).astype(np.float32) / 255
        mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (
            network.preprocessing.mean, network.preprocessing.std
        ))  # fmt: skip
        tokens = network.reference.backbone(torch.from_numpy((normalised - mean) / std)).patches_BPD.numpy()
    alone = encoder.encode(pixels[:batch_size])
    np.testing.assert_allclose(alone.embedding_BD, expected, atol=1e-5)
    assert (alone.embedding_BD * expected).sum(axis=1).min() >= 0.99999
    found = encoder.encode(pixels[:batch_size], attention=True, tokens=True)
    np.testing.assert_allclose(found.embedding_BD, alone.embedding_BD, atol=1e-6)
    np.testing.assert_allclose(found.attention_BP, attention, atol=1e-5)
    np.testing.assert_allclose(found.tokens_BPE, tokens, atol=1e-4)


def test_the_other_outputs_are_not_computed_unless_asked_for(bundle):
    graphs = bundle.variant().graphs
    assert [graph.outputs for graph in graphs] == [["embedding"], ["embedding", "attention", "tokens"]]
    small, large = (onnx.load(bundle.path / graph.file, load_external_data=False).graph.node for graph in graphs)
    assert len(small) < len(large)
    assert "Log" in {node.op_type for node in large}
    assert "Log" not in {node.op_type for node in small}


def test_weights_are_stored_once(bundle):
    parameters = sum(parameter.numel() for parameter in build_model(RECIPE).base.backbone.parameters())
    assert (bundle.path / "encoder.weights").stat().st_size < 1.1 * 4 * parameters + 4096 * 100
    assert sum(path.stat().st_size for path in bundle.path.glob("*.onnx")) < 0.2 * 4 * parameters
    assert "encoder.weights" in bundle.variant("pruned").sha256  # the very same file


def test_the_manifest_says_what_it_is(bundle):
    manifest = bundle.manifest
    assert (manifest.embedding_dim, manifest.token_dim, manifest.patch_grid, manifest.feature) == (
        192, 192, (4, 4), "cls"
    )  # fmt: skip
    assert manifest.trained_on.startswith("12 unlabelled pictures of photos, 2 epochs")
    assert (manifest.name, manifest.domain) == ("fields", "coloured fields")
    assert manifest.recipe["encoder"] == "nano"
    assert manifest.variants["pruned"].pruning == Pruning(after_layer=2, keep_ratio=0.5)
    assert {name: variant.precision for name, variant in manifest.variants.items()} == {
        "fp32": "fp32", "fp16": "fp16", "int8": "int8", "pruned": "fp32"
    }  # fmt: skip


def test_parity_is_of_golden_and_real_pictures_and_stored(report, bundle):
    parity = bundle.variant().parity
    assert parity["min_cosine"] >= 0.99999
    assert parity["max_difference"] <= 1e-5
    assert parity["num_pictures"] == report.parity["fp32"].num_pictures >= 25 + 12
    assert bundle.variant("int8").parity["mAP_fp32"] == report.retrieval["int8"].mAP_fp32
    assert bundle.variant("int8").parity["num_queries"] == 12


def test_int8_is_close_and_a_quarter_of_the_file(report, bundle):
    assert report.retrieval["int8"].cosine_mean >= 0.995
    sizes = [(bundle.path / name).stat().st_size for name in ("encoder.int8.weights", "encoder.weights")]
    assert sizes[0] < 0.6 * sizes[1]  # a small network: its embedding of patches and positions stays in float32


def test_static_int8_is_calibrated_on_pictures(network, photos, tmp_path):
    options = ExportOptions(int8=True, calibrate=photos, floor=0.5)
    manifest = export_network(network, tmp_path / "static", options).manifest
    assert manifest.variants["int8"].method == "static int8, per channel, calibrated on 12 pictures"
    graph = onnx.load(tmp_path / "static" / "encoder.int8.onnx", load_external_data=False)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in graph.graph.node}
    assert manifest.variants["int8"].parity["cosine_mean"] > 0.99


def test_fp16_keeps_what_overflows_in_float32(bundle):
    model = onnx.load(bundle.path / "encoder.fp16.onnx", load_external_data=False)
    half = {one.name for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT16}
    by_kind = {}
    for node in model.graph.node:
        by_kind.setdefault(node.op_type, set()).update(half & set(node.input))
    assert by_kind["MatMul"]
    assert not by_kind["LayerNormalization"]
    assert bundle.variant("fp16").parity["min_cosine"] > 0.999


def test_a_pruned_encoder_scores_what_it_left_out_with_zero(network, bundle, pixels):
    found = ImageEncoder(bundle, variant="pruned").encode(pixels[:4], attention=True, tokens=True)
    assert ((found.attention_BP > 0).sum(axis=1) == 8).all()
    np.testing.assert_allclose(found.attention_BP.sum(axis=1), 1, atol=1e-5)
    assert ((np.abs(found.tokens_BPE).sum(axis=2) > 0) == (found.attention_BP > 0)).all()


def test_pruning_leaves_out_what_the_first_layers_attend_to_least(network, bundle, pixels):
    """Against a loop: attention of layers 1 and 2 by full matrices, the better half kept, the rest never seen."""
    backbone = network.reference.backbone
    with torch.inference_mode():
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (
            network.preprocessing.mean, network.preprocessing.std
        ))  # fmt: skip
        views = (torch.from_numpy(pixels[:3]).permute(0, 3, 1, 2).float() / 255 - mean) / std
        rows = backbone(views, with_attention=True).cls_attention_LBP
        scores = (rows[0] * rows[1]).numpy()
        expected = []
        for number in range(3):
            kept = np.argsort(-scores[number])[:8]
            tokens = backbone.embed_tokens(views[number : number + 1])[0]
            for index, block in enumerate(backbone.blocks, start=1):
                tokens = block(tokens, None, with_cls_row=False, cls_only=False)[0]
                if index == 2:
                    tokens = torch.cat([tokens[:, :1], tokens[:, 1:][:, kept]], dim=1)
            cls = backbone.norm(tokens)[0, 0]
            expected.append((cls / cls.norm()).numpy())
    found = ImageEncoder(bundle, variant="pruned").encode(pixels[:3]).embedding_BD
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-5)


def test_no_file_holds_a_path_of_the_machine(bundle):
    for path in bundle.path.glob("*.onnx"):
        content = path.read_bytes()
        assert b"site-packages" not in content
        assert not re.search(rb"[a-z_]+\.py\b", content)


def test_run_and_bundle_embed_alike(run, bundle, photos):
    pictures, encoder = labelled_pictures(photos), run_embedders(run, CPU, baselines=False)["encoder"]
    np.testing.assert_allclose(encoder(pictures), BundleEmbedder(bundle.path)(pictures), atol=1e-5)


def test_the_gate_is_the_same_for_torch_itself(network, bundle):
    from encoder.golden import load_golden

    golden = load_golden(bundle.path)
    parity = measure_parity(torch_embedder(network), golden, batch_sizes=(8,))
    assert parity.max_difference == 0
    assert measure_parity(encoder_embedder(ImageEncoder(bundle)), golden).max_difference <= 1e-5


def test_half_weights_halve_the_file_and_agree_with_the_rounded_network(run, bundle, tmp_path):
    report = export_network(run_network(run), tmp_path / "half", ExportOptions(half_weights=True))
    assert report.manifest.variants["fp32"].parity["max_difference"] <= 1e-5
    assert 0.999 < report.manifest.variants["fp32"].parity["rounding_cosine"] <= 1.0001
    assert report.manifest.id != bundle.manifest.id
    sizes = [(path / "encoder.weights").stat().st_size for path in (tmp_path / "half", bundle.path)]
    assert sizes[0] < 0.6 * sizes[1]


def other_network(network):
    """A network whose graph is another's."""
    other = EmbeddingModel(build_model(Recipe(**RECIPE.__dict__ | {"seed": 9})).base.backbone, "cls").eval()
    return replace(network, reference=other)


def test_a_graph_that_disagrees_is_not_written(network, tmp_path):
    with pytest.raises(ParityError, match="variant fp32 disagrees with the network"):
        export_network(other_network(network), tmp_path / "bundle", ExportOptions())
    assert list(tmp_path.iterdir()) == []


def test_a_variant_that_finds_worse_is_not_written(network, tmp_path, monkeypatch):
    def spoil(graph, out):
        model = onnx.load(graph)
        for one in model.graph.initializer:
            if one.data_type == onnx.TensorProto.FLOAT and len(one.dims) == 2:
                noise = np.random.default_rng(0).normal(size=tuple(one.dims)).astype(np.float32)
                one.CopyFrom(onnx.numpy_helper.from_array(noise, one.name))
        onnx.save(model, out)

    monkeypatch.setattr("export.variants.quantise_dynamic", spoil)
    with pytest.raises(ParityError, match=r"variant int8 finds worse than fp32: .*--floor.*no bundle was written"):
        export_network(network, tmp_path / "bundle", ExportOptions(int8=True, floor=1.0))
    assert list(tmp_path.iterdir()) == []


def test_the_untrained_control_is_the_same_network_with_its_initial_weights(run, bundle, photos, tmp_path):
    report = export_network(run_network(run, untrained=True), tmp_path / "untrained", ExportOptions())
    assert report.manifest.trained_on.startswith("nothing")
    assert report.manifest.id != bundle.manifest.id
    pictures = labelled_pictures(photos)
    expected = run_embedders(run, CPU, baselines=True)["untrained"](pictures)
    np.testing.assert_allclose(BundleEmbedder(tmp_path / "untrained")(pictures), expected, atol=1e-5)


def test_without_pictures_there_is_no_proof_and_no_bundle(network, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="--pictures"):
        export_network(network, tmp_path / "bundle", ExportOptions(pictures=tmp_path / "empty"))
    assert not (tmp_path / "bundle").exists()


def test_what_is_there_is_not_overwritten_unasked(network, tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "thesis.doc").write_text("years of work")
    with pytest.raises(BundleError, match="--overwrite"):
        export_network(network, tmp_path / "bundle", ExportOptions())
    assert (tmp_path / "bundle" / "thesis.doc").exists()


def test_a_destination_that_cannot_be_made_is_said_before_the_work(network, tmp_path):
    (tmp_path / "file").touch()
    told = []
    with pytest.raises(BundleError, match="cannot be written"):
        export_network(network, tmp_path / "file" / "bundle", ExportOptions(), told.append)
    assert told == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("half", "expected auto or LAYER:RATIO"), ("0:0.5", "a layer from 1 to 5"), ("6:0.5", "1 to 5"), ("2:1", "ratio")],
)
def test_a_pruning_that_is_none(network, tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        export_network(network, tmp_path / "bundle", ExportOptions(prune=text))


def test_an_engine_where_there_is_no_tensorrt_is_said_before_the_work(network, tmp_path):
    import onnxruntime

    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has TensorRT")
    told = []
    with pytest.raises(ProviderUnavailableError, match="tensorrt was asked for"):
        export_network(network, tmp_path / "bundle", ExportOptions(tensorrt="fp16"), told.append)
    assert told == []
    assert list(tmp_path.iterdir()) == []


def test_the_card_says_what_the_manifest_says(bundle):
    card = (bundle.path / "README.md").read_text()
    for text in (bundle.manifest.id, "coloured fields", "12 unlabelled pictures", "int8", "after layer 2 only the 50%"):
        assert text in card
