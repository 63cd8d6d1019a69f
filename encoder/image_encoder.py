"""Preprocessed pictures to embeddings through ONNX Runtime: the only code that touches an inference engine.

An execution provider that was asked for and is not active is an error: a GPU that is silently unused is the most
expensive default there is.
"""

# B batch, S side in pixels, D embedding dim, P patches.

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from encoder.bundle import Bundle
from encoder.errors import BundleCorruptError, PictureError, ProviderUnavailableError
from encoder.manifest import Manifest
from encoder.preprocessing import decode_picture, preprocess

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
BATCH_SIZE = 32


@dataclass(frozen=True)
class Encoded:
    """Embeddings of a batch.

    Attributes:
        embedding_BD: of length 1, float32, shape (B, D).
        attention_BP: fused patch scores, each row of sum 1, float32, shape (B, P); None unless asked for.
    """

    embedding_BD: NDArray[np.float32]
    attention_BP: NDArray[np.float32] | None


class ImageEncoder:
    """A bundle loaded into ONNX Runtime. Safe to call from several threads.

    Args:
        bundle: what to load.
        providers: in order of preference, of "tensorrt", "cuda", "cpu"; each one has to become active.
        num_threads: within one call on the CPU; ONNX Runtime's own choice (the physical cores) if None.
        variant: which of the bundle's ONNX files.

    Raises:
        ProviderUnavailableError: a provider is not installed or did not become active.
        BundleCorruptError: ONNX Runtime cannot load the file, or it is not the encoder the manifest describes.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        providers: Sequence[str] = ("cpu",),
        num_threads: int | None = None,
        variant: str = "fp32",
    ) -> None:
        self.manifest: Manifest = bundle.manifest
        self.dim = bundle.manifest.embedding_dim
        wanted = _provider_names(providers)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if num_threads is not None:
            options.intra_op_num_threads = num_threads
        path = bundle.variant_path(variant)
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
        except Exception as error:  # ONNX Runtime raises a dozen unrelated types, some plain Exception
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise BundleCorruptError(f"{path} cannot be loaded by ONNX Runtime: {reason}") from error
        active = self._session.get_providers()
        lacking = [name for name in wanted if name not in active]
        if lacking:
            raise ProviderUnavailableError(
                f"{', '.join(lacking)} was asked for but did not become active (active: {', '.join(active)}); "
                "check the driver and CUDA libraries, or ask for cpu"
            )
        self._check_graph(str(path))

    def _check_graph(self, path: str) -> None:
        """The graph's input and outputs are those the manifest names."""
        side = self.manifest.preprocessing.image_size
        inputs = [(node.name, node.type, node.shape) for node in self._session.get_inputs()]
        if [(name, kind, shape[1:]) for name, kind, shape in inputs] != [("pixels", "tensor(uint8)", [side, side, 3])]:
            raise BundleCorruptError(
                f"{path} takes {inputs}, expected one input pixels, tensor(uint8), [batch, {side}, {side}, 3]"
            )
        if isinstance(inputs[0][2][0], int):
            raise BundleCorruptError(f"{path} takes batches of {inputs[0][2][0]} only, expected a free batch size")
        grid = self.manifest.patch_grid or (0, 0)
        expected = {"embedding": [self.dim], "attention": [grid[0] * grid[1]]}
        found = {node.name: (node.type, node.shape[1:]) for node in self._session.get_outputs()}
        if found != {name: ("tensor(float)", expected.get(name)) for name in self.manifest.outputs}:
            raise BundleCorruptError(
                f"{path} gives {found}, its manifest says {self.manifest.outputs} with {self.dim} dimensions "
                f"and a patch grid of {self.manifest.patch_grid}"
            )

    def encode(self, pixels_BSS3: NDArray[np.uint8], *, attention: bool = False) -> Encoded:
        """Embed preprocessed pictures in one call of the engine.

        Args:
            pixels_BSS3: RGB, uint8, shape (B, S, S, 3), as `preprocess` gives them, stacked.
            attention: also return the patch scores, which costs a little.

        Raises:
            ValueError: wrong shape or dtype, or attention of an encoder that has none.
        """
        side = self.manifest.preprocessing.image_size
        if pixels_BSS3.dtype != np.uint8 or pixels_BSS3.ndim != 4 or pixels_BSS3.shape[1:] != (side, side, 3):
            raise ValueError(
                f"pixels are {pixels_BSS3.dtype} {pixels_BSS3.shape}, expected uint8 (B, {side}, {side}, 3)"
            )
        if attention and "attention" not in self.manifest.outputs:
            raise ValueError(f"encoder {self.manifest.name} has no attention output")
        if len(pixels_BSS3) == 0:
            num_patches = int(np.prod(self.manifest.patch_grid or (0, 0)))
            empty = np.empty((0, num_patches), np.float32) if attention else None
            return Encoded(np.empty((0, self.dim), np.float32), empty)
        names = ["embedding", "attention"] if attention else ["embedding"]
        outputs = self._session.run(names, {"pixels": np.ascontiguousarray(pixels_BSS3)})
        return Encoded(outputs[0], outputs[1] if attention else None)

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


def _row(encoded: Encoded, row: int) -> Encoded:
    attention_BP = encoded.attention_BP
    return Encoded(encoded.embedding_BD[row : row + 1], None if attention_BP is None else attention_BP[row : row + 1])


def _provider_names(providers: Sequence[str]) -> list[str]:
    """ONNX Runtime's names of the providers asked for, all of them installed."""
    available = onnxruntime.get_available_providers()
    names = []
    for provider in providers:
        if provider not in PROVIDERS:
            raise ProviderUnavailableError(f"unknown provider {provider!r}; the providers are {', '.join(PROVIDERS)}")
        name = PROVIDERS[provider]
        if name not in available:
            raise ProviderUnavailableError(
                f"{provider} was asked for, but this ONNX Runtime offers only {', '.join(available)}; "
                "install the extra with `pip install '.[gpu]'`, or ask for cpu"
            )
        if name not in names:
            names.append(name)
    if not names:
        raise ProviderUnavailableError(f"no provider was asked for; name at least one of {', '.join(PROVIDERS)}")
    return names
