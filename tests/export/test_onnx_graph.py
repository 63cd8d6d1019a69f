"""Weights stored as float16: what the graph holds is what torch computes with."""

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from export.onnx_graph import SMALLEST_HALVED, WeightsFile, round_to_half, save_graph, store_as_half, trace
from training.whitening import Whitening


class Whitened(nn.Module):
    """Pixels through a layer and a whitening, whose matrix is a buffer."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layer = nn.Linear(48, 48)
        self.whitening = Whitening("cls", 48, 0.5)
        with torch.no_grad():
            self.layer.weight.copy_(torch.randn(48, 48, generator=generator))
        self.whitening.learn(torch.randn(200, 48, generator=generator) * torch.linspace(0.1, 2, 48))

    def forward(self, pixels_BSS3):
        return (self.whitening(self.layer(pixels_BSS3.flatten(1).float() / 255)),)


def test_buffers_are_rounded_as_weights_are(tmp_path):
    module = Whitened().eval()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
    with torch.inference_mode():
        before = module(torch.from_numpy(pixels))[0].numpy()
        round_to_half(module)
        expected = module(torch.from_numpy(pixels))[0].numpy()
    assert 0 < np.abs(expected - before).max() < 0.01
    model = trace(module, 4, ["embedding"])
    store_as_half(model)
    save_graph(model, tmp_path / "graph.onnx", WeightsFile(tmp_path / "graph.weights"))
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"pixels": pixels})[0], expected, atol=1e-6)
    initializers = onnx.load(tmp_path / "graph.onnx", load_external_data=False).graph.initializer
    kinds = [one.data_type for one in initializers if np.prod(one.dims) >= SMALLEST_HALVED]
    assert kinds == [onnx.TensorProto.FLOAT16] * 2
