"""The CUDA execution provider. Run by `make gpu-check`."""

import numpy as np
import onnxruntime
import pytest

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from encoder.tensorrt import find_gpu

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        "CUDAExecutionProvider" not in onnxruntime.get_available_providers(),
        reason="this ONNX Runtime has no CUDA provider: pip install -e '.[gpu]'",
    ),
]


def test_cuda_embeds_as_the_cpu_does(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    expected = ImageEncoder(bundle).encode(pixels).embedding_BD
    found = ImageEncoder(bundle, providers=("cuda", "cpu")).encode(pixels).embedding_BD
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_gpu_has_a_name_and_a_compute_capability():
    gpu = find_gpu()
    assert gpu is not None
    assert gpu.name
    assert float(gpu.compute_capability) >= 5
