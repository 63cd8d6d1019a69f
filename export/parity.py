"""The parity gate: does the exported graph answer as torch does, on real pictures?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.errors import ParityError
from encoder.image_encoder import ImageEncoder
from training.embedding import EmbeddingModel

MIN_COSINE = 0.9999
BATCH_SIZES = (1, 3, 8)


@dataclass(frozen=True)
class Parity:
    """How far two encoders are apart on the same pictures.

    Attributes:
        num_pictures: pictures compared.
        min_cosine: the least cosine between the two embeddings of a picture.
        max_difference: the greatest absolute difference of an embedding value.
        max_attention_difference: the same of a patch score.
    """

    num_pictures: int
    min_cosine: float
    max_difference: float
    max_attention_difference: float

    def figures(self) -> dict[str, float]:
        """The report as the manifest stores it."""
        return {name: float(value) for name, value in asdict(self).items()}


def measure_parity(model: EmbeddingModel, encoder: ImageEncoder, pixels_NSS3: NDArray[np.uint8]) -> Parity:
    """Compare torch and ONNX Runtime on preprocessed pictures, at several batch sizes; the worst one counts."""
    with torch.inference_mode():
        expected_ND, expected_NP = (output.numpy() for output in model(torch.from_numpy(pixels_NSS3)))
    min_cosine, max_difference, max_attention = 1.0, 0.0, 0.0
    for batch_size in BATCH_SIZES:
        for start in range(0, len(pixels_NSS3), batch_size):
            rows = slice(start, start + batch_size)
            encoded = encoder.encode(pixels_NSS3[rows], attention=True)
            assert encoded.attention_BP is not None
            found_BD = encoded.embedding_BD
            min_cosine = min(min_cosine, float((found_BD * expected_ND[rows]).sum(axis=1).min()))
            max_difference = max(max_difference, float(np.abs(found_BD - expected_ND[rows]).max()))
            max_attention = max(max_attention, float(np.abs(encoded.attention_BP - expected_NP[rows]).max()))
    return Parity(len(pixels_NSS3), min_cosine, max_difference, max_attention)


def require_parity(parity: Parity, pictures: Sequence[Path]) -> None:
    """Refuse an encoder that does not answer as torch does.

    Raises:
        ParityError: the least cosine is below MIN_COSINE (or is no number).
    """
    if not parity.min_cosine >= MIN_COSINE:
        raise ParityError(
            f"the exported encoder disagrees with torch: cosine {parity.min_cosine:.6f} on {len(pictures)} pictures "
            f"(first: {pictures[0]}), at least {MIN_COSINE} is required; no bundle was written"
        )
