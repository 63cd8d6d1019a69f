"""The engine: unit vectors whatever the batch, strict providers, each picture failing alone."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from pictures import drawn, file_bytes
from tiny_encoder import tiny_variant, write_tiny_bundle

from encoder.bundle import Bundle, write_bundle
from encoder.errors import BundleCorruptError, PictureError, ProviderUnavailableError
from encoder.image_encoder import ImageEncoder
from encoder.manifest import EngineTarget, Graph, id_of
from encoder.preprocessing import decode_picture, preprocess


@pytest.fixture(scope="module")
def encoder(tiny_bundle):
    return ImageEncoder(Bundle.open(tiny_bundle), num_threads=1)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(1).integers(0, 256, (9, 32, 32, 3), np.uint8)


def test_unit_vectors_and_scores(encoder, pixels):
    encoded = encoder.encode(pixels, attention=True)
    assert encoded.embedding_BD.dtype == np.float32
    assert encoded.embedding_BD.shape == (9, 24)
    np.testing.assert_allclose(np.linalg.norm(encoded.embedding_BD, axis=1), 1, atol=1e-5)
    assert encoded.attention_BP.shape == (9, 16)
    np.testing.assert_allclose(encoded.attention_BP.sum(axis=1), 1, atol=1e-5)
    assert encoder.encode(pixels).attention_BP is None


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_the_batch_does_not_matter(encoder, pixels, batch_size):
    whole = encoder.encode(pixels).embedding_BD
    parts = [encoder.encode(pixels[start : start + batch_size]).embedding_BD for start in range(0, 9, batch_size)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def test_nothing_in_nothing_out(encoder):
    encoded = encoder.encode(np.empty((0, 32, 32, 3), np.uint8), attention=True)
    assert encoded.embedding_BD.shape == (0, 24)
    assert encoded.attention_BP.shape == (0, 16)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((2, 32, 32, 3), np.float32), np.zeros((32, 32, 3), np.uint8), np.zeros((1, 3, 32, 32), np.uint8)],
    ids=["float", "no batch", "channels first"],
)
def test_wrong_input_is_refused(encoder, wrong):
    with pytest.raises(ValueError, match="expected uint8"):
        encoder.encode(wrong)


def test_a_provider_that_is_not_there_is_an_error(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    available = onnxruntime.get_available_providers()
    for name, provider in (("cuda", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")):
        if provider not in available:
            with pytest.raises(ProviderUnavailableError, match=r"offers only .*CPUExecutionProvider.*onnxruntime-gpu"):
                ImageEncoder(bundle, providers=(name, "cpu"))
    with pytest.raises(ProviderUnavailableError, match="unknown provider 'gpu'"):
        ImageEncoder(bundle, providers=("gpu",))
    with pytest.raises(ProviderUnavailableError, match="no provider"):
        ImageEncoder(bundle, providers=())


def test_a_provider_that_does_not_become_active_is_an_error(tiny_bundle, monkeypatch):
    """ONNX Runtime falls back with a log line; we do not."""
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    with (
        pytest.raises((ProviderUnavailableError, BundleCorruptError)),
        pytest.warns(UserWarning, match="not in available"),
    ):
        ImageEncoder(Bundle.open(tiny_bundle), providers=("cuda", "cpu"))


def test_a_file_that_is_no_encoder(tmp_path):
    bundle = Bundle.open(write_tiny_bundle(tmp_path / "bundle"))
    graph = bundle.path / "encoder.onnx"
    for damage in (graph.read_bytes()[:700], b"not onnx"):
        graph.write_bytes(damage)
        with pytest.raises(BundleCorruptError, match="cannot be loaded") as caught:
            ImageEncoder(bundle)
        assert "\n" not in caught.value.message


def test_each_picture_fails_alone(encoder):
    good = [file_bytes(drawn((200, 40, 40), seed)) for seed in range(40)]
    pictures = [*good[:20], b"broken", *good[20:], b""]
    results = encoder.encode_pictures(pictures, attention=True)
    assert [isinstance(result, PictureError) for result in results] == [n in (20, 41) for n in range(42)]
    assert results[20].position == 20
    alone = encoder.encode_pictures([good[20]])[0]
    np.testing.assert_allclose(results[21].embedding_BD, alone.embedding_BD, atol=1e-6)
    assert results[0].attention_BP.shape == (1, 16)


def test_positions_count_over_the_whole_request(encoder):
    results = encoder.encode_pictures([file_bytes(drawn((9, 9, 200), 1))] * 50 + [b"x"])
    assert results[50].position == 50


def test_threads_share_an_encoder(encoder, pixels):
    expected = encoder.encode(pixels).embedding_BD
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: encoder.encode(pixels).embedding_BD, range(40)):
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_pictures_are_embedded_as_their_pixels_are(encoder):
    data = file_bytes(drawn((200, 40, 40), 1))
    pixels_SS3 = preprocess(decode_picture(data), encoder.manifest.preprocessing)
    expected = encoder.encode(pixels_SS3[None])
    np.testing.assert_allclose(encoder.encode_pictures([data])[0].embedding_BD, expected.embedding_BD, atol=1e-6)


def test_no_pictures_and_only_bad_ones(encoder):
    assert encoder.encode_pictures([]) == []
    assert [error.position for error in encoder.encode_pictures([b"x", b""])] == [0, 1]


def test_pixels_need_not_be_contiguous(encoder, pixels):
    backwards = pixels[::-1, :, ::-1]
    expected = encoder.encode(backwards.copy()).embedding_BD
    np.testing.assert_allclose(encoder.encode(backwards).embedding_BD, expected, atol=1e-6)


def test_a_provider_named_twice_is_one(tiny_bundle):
    assert ImageEncoder(Bundle.open(tiny_bundle), providers=("cpu", "cpu")).dim == 24


def edited_bundle(path, source, change_graph=lambda model: None, graph_outputs=None, **changes):
    """A sound bundle whose graph and manifest do not belong together."""
    manifest = Bundle.open(source).manifest
    model = onnx.load(source / "encoder.onnx")
    change_graph(model)
    graph = model.SerializeToString()
    variant = tiny_variant(hashlib.sha256(graph).hexdigest())
    if graph_outputs:
        variant = replace(variant, graphs=[Graph(file="encoder.onnx", outputs=graph_outputs)])
    manifest = replace(manifest, variants={"fp32": variant}, **changes)
    return write_bundle(path, replace(manifest, id=id_of(manifest)), {"encoder.onnx": graph})


def fix_the_batch(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def test_a_graph_that_is_not_the_manifest_s(tmp_path, tiny_bundle):
    preprocessing = Bundle.open(tiny_bundle).manifest.preprocessing
    cases = {
        "with 23 dimensions": {"embedding_dim": 23},
        r"patch grid of \(3, 3\)": {"patch_grid": (3, 3)},
        r"says \['embedding'\]": {"outputs": ["embedding"], "graph_outputs": ["embedding"]},
        r"expected one input pixels, tensor\(uint8\), \[batch, 64, 64, 3\]": {
            "preprocessing": replace(preprocessing, image_size=64)
        },
        "takes batches of 1 only": {"change_graph": fix_the_batch},
    }
    for number, (message, changes) in enumerate(cases.items()):
        bundle = edited_bundle(tmp_path / str(number), tiny_bundle, **changes)
        with pytest.raises(BundleCorruptError, match=message):
            ImageEncoder(bundle)


def test_an_encoder_without_attention_says_so(tmp_path, tiny_bundle, pixels):
    bundle = edited_bundle(
        tmp_path / "plain",
        tiny_bundle,
        lambda model: model.graph.output.pop(),
        graph_outputs=["embedding"],
        outputs=["embedding"],
        patch_grid=None,
    )
    encoder = ImageEncoder(bundle)
    assert encoder.encode(pixels).attention_BP is None
    with pytest.raises(ValueError, match="no attention output"):
        encoder.encode(pixels, attention=True)


def tokens_for_attention(model):
    """Give the patches' mean colours, (B, P, 3), as features in place of the scores."""
    model.graph.output.pop()
    model.graph.node.extend(
        [
            onnx.helper.make_node("Reshape", ["patches", "flat_shape"], ["flat_patches"]),
            onnx.helper.make_node("Transpose", ["flat_patches"], ["tokens"], perm=[0, 2, 1]),
        ]
    )
    shape = np.array([-1, 3, 16], np.int64)
    model.graph.initializer.append(onnx.numpy_helper.from_array(shape, "flat_shape"))
    model.graph.output.append(onnx.helper.make_tensor_value_info("tokens", onnx.TensorProto.FLOAT, ["batch", 16, 3]))


def test_without_cls_patches_are_scored_by_the_norms_of_their_features(tmp_path, tiny_bundle, pixels):
    outputs = ["embedding", "tokens"]
    bundle = edited_bundle(
        tmp_path / "norms", tiny_bundle, tokens_for_attention, graph_outputs=outputs, outputs=outputs, token_dim=3
    )
    encoded = ImageEncoder(bundle).encode(pixels, attention=True, tokens=True)
    assert encoded.tokens_BPE.shape == (9, 16, 3)
    means = pixels.reshape(9, 4, 8, 4, 8, 3).mean(axis=(2, 4)).reshape(9, 16, 3)  # of the 4 x 4 patches of 8 x 8 pixels
    np.testing.assert_allclose(encoded.tokens_BPE, means, atol=1e-3)
    norms = np.sqrt((means**2).sum(axis=2))
    np.testing.assert_allclose(encoded.attention_BP, norms / norms.sum(axis=1, keepdims=True), atol=1e-5)
    assert ImageEncoder(bundle).encode(pixels, attention=True).tokens_BPE is None


ELSEWHERE = EngineTarget(
    gpu="NVIDIA X", compute_capability="99.0", tensorrt="10", onnxruntime="1.0", batch_sizes=[1, 8]
)


def test_an_engine_for_another_machine_is_an_error_unless_a_fallback_was_allowed(tiny_bundle, pixels, caplog):
    bundle = Bundle.open(tiny_bundle)
    engine = replace(bundle.variant(), built_for=ELSEWHERE)
    variants = {**bundle.manifest.variants, "tensorrt": engine}
    bundle = Bundle(bundle.path, replace(bundle.manifest, variants=variants))
    with pytest.raises(ProviderUnavailableError, match=r"variant tensorrt .* cannot run: .*built for NVIDIA X"):
        ImageEncoder(bundle, variant="tensorrt")
    encoder = ImageEncoder(bundle, variant="tensorrt", allow_fallback=True)
    assert encoder.variant == "fp32"
    assert "running fp32 instead, as was allowed" in caplog.text
    np.testing.assert_array_equal(encoder.encode(pixels).embedding_BD, ImageEncoder(bundle).encode(pixels).embedding_BD)


def test_a_missing_provider_is_left_out_where_that_was_allowed(tiny_bundle, caplog, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    ImageEncoder(Bundle.open(tiny_bundle), providers=("cuda", "cpu"), allow_fallback=True)
    assert "cuda was asked for, but this ONNX Runtime offers only CPUExecutionProvider" in caplog.text
    with pytest.raises(ProviderUnavailableError, match="no provider to run on"):
        ImageEncoder(Bundle.open(tiny_bundle), providers=("cuda",), allow_fallback=True)


@pytest.mark.parametrize("num_pictures", [1, 5, 9, 33])
def test_batches_are_filled_up_to_a_few_sizes_where_a_gpu_computes(tiny_bundle, num_pictures):
    encoder, seen = ImageEncoder(Bundle.open(tiny_bundle)), []
    pixels = np.random.default_rng(0).integers(0, 256, (num_pictures, 32, 32, 3), np.uint8)
    expected = encoder.encode(pixels, attention=True)
    encoder._providers = ["cuda", "cpu"]  # what it would be told on a GPU; the session stays the CPU's
    session = encoder._sessions["encoder.onnx"]

    class Watched:
        def run(self, names, feed):
            seen.append(len(feed["pixels"]))
            return session.run(names, feed)

    encoder._sessions["encoder.onnx"] = Watched()
    found = encoder.encode(pixels, attention=True)
    np.testing.assert_allclose(found.embedding_BD, expected.embedding_BD, atol=1e-6)
    np.testing.assert_allclose(found.attention_BP, expected.attention_BP, atol=1e-6)
    assert seen == {1: [1], 5: [8], 9: [16], 33: [32, 1]}[num_pictures]
