"""Preprocessed pictures to embeddings, patch scores and patch features: a bundle's variant, loaded to be run."""

# B batch, S side in pixels, D embedding dim, P patches, E token dim.

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.bundle import Bundle
from encoder.engine import Session, choose_providers, inputs_of, open_session, outputs_of, version
from encoder.errors import BundleCorruptError, PictureError, ProviderUnavailableError
from encoder.manifest import Graph, Manifest
from encoder.preprocessing import decode_picture, preprocess
from encoder.tensorrt import BATCH_BUCKETS, bucket_of, find_gpus, misfit, run_options

logger = logging.getLogger(__name__)

BATCH_SIZE = 32


@dataclass(frozen=True)
class Encoded:
    """What the encoder makes of a batch.

    Attributes:
        embedding_BD: of length 1, float32, shape (B, D).
        attention_BP: patch scores, each row of sum 1, float32, shape (B, P); None unless asked for. What CLS attends
            to through all layers; of an encoder without CLS, the norms of the patch features.
        tokens_BPE: patch features, any length, float32, shape (B, P, E); None unless asked for.
    """

    embedding_BD: NDArray[np.float32]
    attention_BP: NDArray[np.float32] | None
    tokens_BPE: NDArray[np.float32] | None = None


class ImageEncoder:
    """A bundle loaded into ONNX Runtime. Safe to call from several threads.

    The graph of the embedding is loaded at once, that of patch scores and features when first asked for.

    Args:
        bundle: what to load.
        providers: in order of preference, of "tensorrt", "cuda", "cpu"; each one has to become active.
        num_threads: within one call on the CPU; ONNX Runtime's own choice (the physical cores) if None.
        variant: which of the bundle's variants.
        allow_fallback: go on without a provider that is not installed, and with "fp32" in place of a TensorRT engine
            that does not fit this GPU; each time with a warning.
        device: number of the GPU, as CUDA counts them; of no meaning on a CPU.

    Attributes:
        variant: the one that runs.

    Raises:
        ProviderUnavailableError: a provider is not installed or did not become active, or an engine does not fit.
        BundleNotFoundError: the bundle has no such variant.
        BundleCorruptError: ONNX Runtime cannot load the file, or it is not the encoder the manifest describes.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        providers: Sequence[str] = ("cpu",),
        num_threads: int | None = None,
        variant: str = "fp32",
        allow_fallback: bool = False,
        device: int = 0,
    ) -> None:
        self.manifest: Manifest = bundle.manifest
        self.dim = bundle.manifest.embedding_dim
        self._bundle, self._num_threads, self._device = bundle, num_threads, device
        self._providers = choose_providers(providers, allow_fallback=allow_fallback)
        self.variant = self._runnable(variant, allow_fallback=allow_fallback)
        self._graphs = bundle.variant(self.variant).graphs
        self._sessions: dict[str, Session] = {}
        self._loading = threading.Lock()
        self._session(self._graph_of(("embedding",)))

    def _runnable(self, variant: str, *, allow_fallback: bool) -> str:
        """The variant asked for, or fp32 where it is an engine for another machine and a fallback is allowed."""
        target = self._bundle.variant(variant).built_for
        if target is None:
            return variant
        gpu = next(iter(find_gpus()[self._device :]), None)
        reason = misfit(target, gpu, version())
        if reason is None and "tensorrt" not in self._providers:
            reason = f"it is a TensorRT engine, and the providers are {', '.join(self._providers)}"
        if reason is None:
            return variant
        if not allow_fallback:
            raise ProviderUnavailableError(
                f"variant {variant} of bundle {self._bundle.path} cannot run: {reason}; build one here with "
                "`lodisc export ... --tensorrt`, take another variant, or allow a fallback"
            )
        logger.warning("variant %s cannot run: %s; running fp32 instead, as was allowed", variant, reason)
        self._providers = [provider for provider in self._providers if provider != "tensorrt"] or ["cpu"]
        return "fp32"

    def _graph_of(self, outputs: Sequence[str]) -> Graph:
        """The graph with the fewest outputs that gives all of `outputs`.

        Raises:
            ValueError: there is none.
        """
        for graph in self._graphs:
            if set(outputs) <= set(graph.outputs):
                return graph
        raise ValueError(f"encoder {self.manifest.name} does not give {', '.join(outputs)}")

    def _session(self, graph: Graph) -> Session:
        """The loaded graph, loading it if it is the first time."""
        with self._loading:
            if graph.file not in self._sessions:
                path = self._bundle.path / graph.file
                session = open_session(
                    path,
                    self._providers,
                    num_threads=self._num_threads,
                    provider_options=run_options(self._device),
                )
                self._check_graph(session, graph, str(path))
                self._sessions[graph.file] = session
            return self._sessions[graph.file]

    def _check_graph(self, session: Session, graph: Graph, path: str) -> None:
        """The graph's input and outputs are those the manifest names."""
        side = self.manifest.preprocessing.image_size
        inputs = inputs_of(session)
        if [(one.name, one.kind, one.shape[1:]) for one in inputs] != [("pixels", "tensor(uint8)", [side, side, 3])]:
            raise BundleCorruptError(
                f"{path} takes {inputs}, expected one input pixels, tensor(uint8), [batch, {side}, {side}, 3]"
            )
        if isinstance(inputs[0].shape[0], int):
            raise BundleCorruptError(f"{path} takes batches of {inputs[0].shape[0]} only, expected a free batch size")
        num_patches = self._num_patches
        shapes = {
            "embedding": [self.dim],
            "attention": [num_patches],
            "tokens": [num_patches, self.manifest.token_dim],
        }
        found = {one.name: (one.kind, one.shape[1:]) for one in outputs_of(session)}
        if found != {name: ("tensor(float)", shapes[name]) for name in graph.outputs}:
            raise BundleCorruptError(
                f"{path} gives {found}, its manifest says {graph.outputs} with {self.dim} dimensions "
                f"and a patch grid of {self.manifest.patch_grid}"
            )

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the CPU alone."""
        return self._providers == ["cpu"]

    @property
    def _num_patches(self) -> int:
        return int(np.prod(self.manifest.patch_grid or (0, 0)))

    def encode(self, pixels_BSS3: NDArray[np.uint8], *, attention: bool = False, tokens: bool = False) -> Encoded:
        """Embed preprocessed pictures.

        Args:
            pixels_BSS3: RGB, uint8, shape (B, S, S, 3), as `preprocess` gives them, stacked.
            attention: also return the patch scores.
            tokens: also return the patch features.

        Raises:
            ValueError: wrong shape or dtype, or patches of an encoder that has none.
        """
        side = self.manifest.preprocessing.image_size
        if pixels_BSS3.dtype != np.uint8 or pixels_BSS3.ndim != 4 or pixels_BSS3.shape[1:] != (side, side, 3):
            raise ValueError(
                f"pixels are {pixels_BSS3.dtype} {pixels_BSS3.shape}, expected uint8 (B, {side}, {side}, 3)"
            )
        by_norm = attention and "attention" not in self.manifest.outputs
        if by_norm and "tokens" not in self.manifest.outputs:
            raise ValueError(f"encoder {self.manifest.name} has no attention output and no patch features to go by")
        wanted = ["embedding"]
        wanted += ["attention"] if attention and not by_norm else []
        wanted += ["tokens"] if tokens or by_norm else []
        outputs = dict(zip(wanted, self._run(wanted, np.ascontiguousarray(pixels_BSS3)), strict=True))
        tokens_BPE = outputs.get("tokens")
        scores_BP = _norm_scores(tokens_BPE) if by_norm and tokens_BPE is not None else outputs.get("attention")
        return Encoded(outputs["embedding"], scores_BP, tokens_BPE if tokens else None)

    def _run(self, wanted: list[str], pixels_BSS3: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The outputs, in calls of the engine that suit it: on a GPU in batches of a few fixed sizes."""
        session = self._session(self._graph_of(wanted))
        num_pictures = len(pixels_BSS3)
        if num_pictures == 0:
            num_patches, width = self._num_patches, self.manifest.token_dim or 0
            shapes = {"embedding": (0, self.dim), "attention": (0, num_patches), "tokens": (0, num_patches, width)}
            return [np.empty(shapes[name], np.float32) for name in wanted]
        if self.on_cpu:
            return list(session.run(wanted, {"pixels": pixels_BSS3}))
        parts = []
        for start in range(0, num_pictures, BATCH_BUCKETS[-1]):
            chunk = pixels_BSS3[start : start + BATCH_BUCKETS[-1]]
            filled = np.zeros((bucket_of(len(chunk)), *chunk.shape[1:]), np.uint8)
            filled[: len(chunk)] = chunk
            parts.append([output[: len(chunk)] for output in session.run(wanted, {"pixels": filled})])
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def encode_pictures(self, pictures: Sequence[bytes], *, attention: bool = False) -> list[Encoded | PictureError]:
        """Decode and embed files; each fails alone.

        Returns:
            For each picture, in order, its embedding (a batch of one) or the error it raised.
        """
        results: list[Encoded | PictureError] = []
        for start in range(0, len(pictures), BATCH_SIZE):
            results.extend(self._encode_chunk(pictures[start : start + BATCH_SIZE], start, attention))
        return results

    def _encode_chunk(self, pictures: Sequence[bytes], first: int, attention: bool) -> list[Encoded | PictureError]:
        preprocessing = self.manifest.preprocessing
        inputs: list[NDArray[np.uint8] | PictureError] = []
        for position, data in enumerate(pictures, start=first):
            try:
                picture = decode_picture(data, min_side_wanted=preprocessing.image_size)
                inputs.append(preprocess(picture, preprocessing))
            except PictureError as error:
                error.position = position
                inputs.append(error)
        good = [pixels for pixels in inputs if not isinstance(pixels, PictureError)]
        if not good:
            return [error for error in inputs if isinstance(error, PictureError)]
        encoded = self.encode(np.stack(good), attention=attention)
        rows = iter(range(len(good)))
        return [item if isinstance(item, PictureError) else _row(encoded, next(rows)) for item in inputs]


def _norm_scores(tokens_BPE: NDArray[np.float32]) -> NDArray[np.float32]:
    """Patches scored by the norms of their features, each row of sum 1, float32, shape (B, P)."""
    norms_BP = np.linalg.norm(tokens_BPE, axis=2)
    scores_BP: NDArray[np.float32] = norms_BP / np.maximum(norms_BP.sum(axis=1, keepdims=True), np.float32(1e-12))
    return scores_BP


def _row(encoded: Encoded, row: int) -> Encoded:
    attention_BP = encoded.attention_BP
    return Encoded(encoded.embedding_BD[row : row + 1], None if attention_BP is None else attention_BP[row : row + 1])
