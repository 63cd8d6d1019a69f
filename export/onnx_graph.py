"""An EmbeddingModel as an ONNX graph.

Uses torch's exporter on `torch.export` (the TorchScript one is deprecated); both agree with torch to about 1e-7.
Normalisation is part of the graph, so a server cannot get it wrong.
"""

import logging
import tempfile
import warnings
from pathlib import Path

import torch

from training.embedding import EmbeddingModel

OPSET = 20
INPUT_NAME = "pixels"
OUTPUT_NAMES = ("embedding", "attention")


def to_onnx(model: EmbeddingModel) -> bytes:
    """Export the model with a dynamic batch.

    Args:
        model: on the CPU, in eval mode.

    Returns:
        The serialised ONNX model: input `pixels` uint8 (B, S, S, 3); outputs `embedding` float32 (B, D) and
        `attention` float32 (B, P).
    """
    side = model.backbone.image_size
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    # The exporter lists every torchvision operator that it cannot register; none of them is ours.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        path = Path(folder) / "encoder.onnx"
        torch.onnx.export(
            model,
            (example,),
            str(path),
            input_names=[INPUT_NAME],
            output_names=list(OUTPUT_NAMES),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            dynamic_shapes={"pixels_BSS3": {0: torch.export.Dim.DYNAMIC}},
            verbose=False,
        )
        return path.read_bytes()
