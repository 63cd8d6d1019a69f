"""The ways to run a network, each as graphs and weights in a folder that is to become a bundle.

Graphs come in pairs: one that gives the embedding alone, and one that gives patch scores and features too. ONNX Runtime
computes all outputs of a graph, asked for or not (`only_execute_path_to_fetches` works in its training builds alone),
and the other outputs cost about a tenth. The two share one file of weights.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from encoder.bundle import sha256_of
from encoder.manifest import Graph, Pruning, Variant
from export.half_precision import to_half
from export.int8 import quantise_dynamic, quantise_static
from export.network import Network
from export.onnx_graph import WeightsFile, keep_outputs, save_graph, store_as_half, trace


class VariantWriter:
    """Writes variants of one network into a folder.

    Args:
        network: to export.
        folder: that is to become a bundle.
        half_weights: store the fp32 variant's weights as float16; the network's weights were rounded before.
    """

    def __init__(self, network: Network, folder: Path, *, half_weights: bool) -> None:
        self._network, self._folder, self._half_weights = network, folder, half_weights
        self._weights = WeightsFile(folder / "encoder.weights")
        self._traced = self._trace(fused_attention=True, pruning=None)

    def fp32(self) -> Variant:
        """The network as it is."""
        graphs = self._write(self._traced.clone(), "encoder")
        method = "as it was trained" + (", weights stored as float16" if self._half_weights else "")
        return self._variant("fp32", method, graphs, self._weights)

    def pruned(self, pruning: Pruning) -> Variant:
        """Fewer patches after an early layer; the weights are those of fp32."""
        graphs = self._write(self._trace(fused_attention=True, pruning=pruning), "encoder.pruned")
        method = f"after layer {pruning.after_layer} only the {pruning.keep_ratio:.0%} of patches most attended to"
        return self._variant("fp32", method, graphs, self._weights, pruning)

    def fp16(self) -> Variant:
        """Float16 but for what overflows, for GPUs."""
        return self._converted("fp16", "float16, norms and softmax in float32", to_half)

    def int8_dynamic(self) -> Variant:
        """Eight bits, activations by the range of each batch."""
        return self._converted("int8", "dynamic int8, per channel", quantise_dynamic)

    def int8_static(self, pixels_NSS3: NDArray[np.uint8]) -> Variant:
        """Eight bits, activations by the ranges that pictures show."""
        method = f"static int8, per channel, calibrated on {len(pixels_NSS3)} pictures"
        return self._converted("int8", method, lambda graph, out: quantise_static(graph, out, pixels_NSS3))

    def plain_graph(self, path: Path) -> None:
        """The graph of the embedding in operators that every engine knows, its weights beside it."""
        model = self._trace(fused_attention=False, pruning=None)
        keep_outputs(model, ("embedding",))
        save_graph(model, path, WeightsFile(path.with_suffix(".weights")))

    def _trace(self, *, fused_attention: bool, pruning: Pruning | None) -> ir.Model:
        outputs = self._network.outputs
        graph = self._network.make_graph(outputs, fused_attention, pruning)
        return trace(graph, self._network.preprocessing.image_size, outputs)

    def _write(self, model: ir.Model, stem: str) -> list[Graph]:
        if self._half_weights:
            store_as_half(model)
        return self._save(model, stem, self._weights)

    def _save(self, model: ir.Model, stem: str, weights: WeightsFile) -> list[Graph]:
        """Write the graph of all outputs and what remains of it for the embedding alone, and say so, smallest first."""
        outputs = self._network.outputs
        graphs = [Graph(file=f"{stem}.onnx", outputs=["embedding"])]
        if len(outputs) > 1:
            graphs.append(Graph(file=f"{stem}.patches.onnx", outputs=list(outputs)))
            save_graph(model, self._folder / graphs[-1].file, weights)
            keep_outputs(model, ("embedding",))
        save_graph(model, self._folder / graphs[0].file, weights)
        return graphs

    def _converted(self, precision: str, method: str, convert: Callable[[Path, Path], None]) -> Variant:
        """A variant that ONNX Runtime's tools make of the fp32 graph."""
        weights = WeightsFile(self._folder / f"encoder.{precision}.weights")
        with tempfile.TemporaryDirectory(dir=self._folder.parent) as work:
            source, out = Path(work) / "source.onnx", Path(work) / "out.onnx"
            save_graph(self._traced.clone(), source, WeightsFile(Path(work) / "source.weights"))
            convert(source, out)
            graphs = self._save(ir.load(out), f"encoder.{precision}", weights)
        return self._variant(precision, method, graphs, weights)

    def _variant(
        self, precision: str, method: str, graphs: list[Graph], weights: WeightsFile, pruning: Pruning | None = None
    ) -> Variant:
        names = [*(graph.file for graph in graphs), weights.path.name]
        return Variant(
            precision=precision,
            method=method,
            graphs=graphs,
            sha256={name: sha256_of(self._folder / name) for name in names},
            pruning=pruning,
            built_for=None,
            parity={},
        )
