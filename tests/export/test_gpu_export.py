"""float16 on CUDA and the TensorRT engine, built and run. Run by `make gpu-check`."""

import numpy as np
import onnxruntime
import pytest
import torch
from pictures import write_picture_folder

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from export.bundling import ExportOptions, export_network
from export.our_network import run_network
from training.recipe import Recipe
from training.trainer import train

PROVIDERS = onnxruntime.get_available_providers()
RECIPE = Recipe(
    encoder="nano", image_size=32, patch_size=8, hidden_dim=32, projection_dim=16, epochs=1, batch_size=6, lr=1e-3
)
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        "CUDAExecutionProvider" not in PROVIDERS,
        reason="this ONNX Runtime has no CUDA provider: pip install -e '.[gpu]'",
    ),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu-export")
    train(RECIPE, write_picture_folder(folder / "photos"), folder / "run", device=torch.device("cpu"), quiet=True)
    return folder / "run"


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (21, 32, 32, 3), np.uint8)


def test_float16_on_cuda(run, pixels, tmp_path):
    export_network(run_network(run), tmp_path / "bundle", ExportOptions(fp16=True))
    bundle = Bundle.open(tmp_path / "bundle")
    expected = ImageEncoder(bundle).encode(pixels, attention=True, tokens=True)
    found = ImageEncoder(bundle, variant="fp16", providers=("cuda", "cpu")).encode(pixels, attention=True, tokens=True)
    assert (found.embedding_BD * expected.embedding_BD).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(found.attention_BP, expected.attention_BP, atol=0.02)


@pytest.mark.skipif("TensorrtExecutionProvider" not in PROVIDERS, reason="this ONNX Runtime has no TensorRT provider")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_is_built_and_answers_as_the_cpu_does(run, pixels, tmp_path, precision):
    report = export_network(run_network(run), tmp_path / "bundle", ExportOptions(tensorrt=precision))
    target = report.manifest.variants["tensorrt"].built_for
    assert target is not None
    assert target.onnxruntime == onnxruntime.__version__
    bundle = Bundle.open(tmp_path / "bundle")
    expected = ImageEncoder(bundle).encode(pixels).embedding_BD
    engine = ImageEncoder(bundle, variant="tensorrt", providers=("tensorrt", "cuda"))
    for size in (1, 3, 21):
        found = engine.encode(pixels[:size]).embedding_BD
        assert (found * expected[:size]).sum(axis=1).min() > 0.999
