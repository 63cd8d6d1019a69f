"""An EmbeddingModel as an ONNX graph.

Uses torch's exporter on `torch.export` (the TorchScript one is deprecated); both agree with torch to about 1e-7.
Normalisation is part of the graph, so a server cannot get it wrong.
"""

import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from training.embedding import EmbeddingModel

OPSET = 20
INPUT_NAME = "pixels"
OUTPUT_NAMES = ("embedding", "attention")
# Weights with fewer values (norms, biases) stay in float32: they weigh nothing and matter most.
SMALLEST_HALVED = 1024


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
        return _without_provenance(path.read_bytes())


def _without_provenance(graph: bytes) -> bytes:
    """The graph without what the exporter notes for debugging: stack traces, which hold paths of this machine."""
    model = onnx.load_from_string(graph)
    for holder in (
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        del holder.metadata_props[:]
        holder.doc_string = ""
    for initializer in model.graph.initializer:
        del initializer.metadata_props[:]
        initializer.doc_string = ""
    return bytes(model.SerializeToString())


def store_weights_as_half(graph: bytes) -> bytes:
    """The same graph with its large weights stored as float16: half the file, computed in float32 as before.

    Each weight becomes a float16 constant and a cast, which ONNX Runtime folds away when it loads the file.
    """
    model = onnx.load_from_string(graph)
    casts = []
    for initializer in model.graph.initializer:
        if initializer.data_type != TensorProto.FLOAT or np.prod(initializer.dims) < SMALLEST_HALVED:
            continue
        name = initializer.name
        half = numpy_helper.to_array(initializer).astype(np.float16)
        initializer.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
