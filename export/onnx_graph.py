"""A network as ONNX graphs whose weights lie once in a file beside them.

Uses torch's exporter on `torch.export` (the TorchScript one is deprecated), which folds constants. Normalisation is
part of the graph, so a server cannot get it wrong. Weights never go through the graph's protobuf, so there is no limit
of 2 GB, and graphs of one network share them.
"""

import hashlib
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from torch import nn

# Opset 20 is the first with Gelu as one operator. Opset 23's Attention was measured and is not used: see serving_graph.
OPSET = 20
INPUT_NAME = "pixels"
# Constants of fewer bytes stay in the graph.
SMALLEST_APART = 1024
# What has fewer values (norms, biases) stays in float32: it weighs nothing and matters most.
SMALLEST_HALVED = 1024
ALIGNMENT = 4096  # so that a reader can map each tensor into memory


class WeightsFile:
    """The file beside the graphs: each different tensor once.

    Args:
        path: to write; graphs name it relative to their folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets: dict[tuple[bytes, str], int] = {}
        path.write_bytes(b"")

    def add(self, name: str, tensor: ir.TensorProtocol) -> ir.ExternalTensor:
        """Write a tensor unless the same bytes are there, and return what a graph refers to it by."""
        content = tensor.tobytes()
        key = hashlib.sha256(content).digest(), str(tensor.dtype)
        if key not in self._offsets:
            with self.path.open("ab") as file:
                file.write(b"\0" * (-file.tell() % ALIGNMENT))
                self._offsets[key] = file.tell()
                file.write(content)
        return ir.ExternalTensor(
            self.path.name,
            self._offsets[key],
            len(content),
            tensor.dtype,
            shape=_shape(tensor),
            name=name,
            base_dir=str(self.path.parent),
        )


def trace(module: nn.Module, image_size: int, outputs: Sequence[str]) -> ir.Model:
    """The graph of a module with a dynamic batch.

    Args:
        module: takes pixels uint8 (B, S, S, 3) and gives a tuple; on the CPU, in eval mode.
        image_size: S.
        outputs: names of what it gives.

    Returns:
        The graph with input `pixels`; its weights are those of the module until it is saved.
    """
    example = torch.zeros(2, image_size, image_size, 3, dtype=torch.uint8)
    # The exporter lists every torchvision operator that it cannot register; none of them is ours.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            module,
            (example,),
            input_names=[INPUT_NAME],
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            verbose=False,
        )
    assert program is not None
    return program.model


def save_graph(model: ir.Model, path: Path, weights: WeightsFile) -> None:
    """Write a graph, its larger weights apart, without what the exporter notes for debugging.

    Those notes are stack traces, which hold paths of this machine.
    """
    for holder in (model, model.graph, *model.graph, *model.graph.initializers.values()):
        holder.metadata_props.clear()
        holder.doc_string = None
    for value in [*model.graph.inputs, *(output for node in model.graph for output in node.outputs)]:
        value.metadata_props.clear()
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        assert tensor is not None
        if tensor.nbytes >= SMALLEST_APART and not isinstance(tensor, ir.ExternalTensor):
            value.const_value = weights.add(name, tensor)
    path.write_bytes(ir.serde.serialize_model(model).SerializeToString())


def keep_outputs(model: ir.Model, outputs: Sequence[str]) -> None:
    """Drop the other outputs, in place, and what only they need."""
    kept = [value for value in model.graph.outputs if value.name in outputs]
    model.graph.outputs.clear()
    model.graph.outputs.extend(kept)
    RemoveUnusedNodesPass()(model)


def round_to_half(module: nn.Module) -> None:
    """Round what is large in a network to float16 values, in place, kept as float32.

    Weights, and buffers too: a graph makes no difference between them. A whitening and rotary positions are buffers.
    """
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point() and tensor.numel() >= SMALLEST_HALVED:
                tensor.copy_(tensor.half().float())


def store_as_half(model: ir.Model) -> None:
    """Store the large weights as float16 in place, which is exact after `round_to_half`; computation stays in float32.

    Each weight becomes a float16 constant and a cast, which ONNX Runtime folds away when it loads the graph.
    """
    graph = model.graph
    first = graph[0]
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        assert tensor is not None
        if tensor.dtype != ir.DataType.FLOAT or tensor.size < SMALLEST_HALVED:
            continue
        halved = ir.Value(
            name=f"{name}.half",
            shape=_shape(tensor),
            type=ir.TensorType(ir.DataType.FLOAT16),
            const_value=ir.tensor(tensor.numpy().astype(np.float16), name=f"{name}.half"),
        )
        cast = ir.node("Cast", [halved], {"to": ir.DataType.FLOAT.value}, name=f"{name}.cast")
        cast.outputs[0].shape, cast.outputs[0].type = value.shape, value.type
        del graph.initializers[name]
        cast.outputs[0].name = name
        graph.initializers[f"{name}.half"] = halved
        value.replace_all_uses_with(cast.outputs[0])
        graph.insert_before(first, cast)


def _shape(tensor: ir.TensorProtocol) -> ir.Shape:
    return ir.Shape(list(tensor.numpy().shape))
