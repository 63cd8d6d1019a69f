"""The parity gate: does an encoder give the embeddings that it should, on the same picture files?

One comparison for all: ONNX variants against torch at export, a bundle against its golden pictures wherever it lies, a
running service against both. It starts from files, so that decoding and preprocessing are a part of what is compared.
"""

# N pictures, D embedding dim.

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.errors import ParityError, PictureError, UnsupportedFormatError
from encoder.golden import Reference
from encoder.image_encoder import Encoded, ImageEncoder
from encoder.manifest import Variant

BATCH_SIZES = (1, 3, 8, 32)


@dataclass(frozen=True)
class Tolerance:
    """How far an encoder may be from its reference.

    Attributes:
        min_cosine: the least cosine of a picture's two embeddings.
        max_difference: the greatest difference of one of an embedding's values.
    """

    min_cosine: float
    max_difference: float


# What the precision itself moves. int8 and pruning change the answers: for them the tolerance is what was measured at
# export (`measured_tolerance`), after retrieval was found as good.
TOLERANCES = {"fp32": Tolerance(0.99999, 1e-5), "fp16": Tolerance(0.999, 0.02)}
# Other processors compute int8 sums in another order, and without the saturation that some have.
SLACK = Tolerance(0.003, 0.02)


@dataclass(frozen=True)
class Parity:
    """How far an encoder is from its references.

    Attributes:
        num_pictures: pictures compared.
        min_cosine: the least cosine between the two embeddings of a picture.
        mean_cosine: the mean of it.
        max_difference: the greatest absolute difference of an embedding value.
        max_attention_difference: the same of a patch score; 0 where there are none.
        worst: name of the picture of the least cosine.
        skipped: names of pictures whose format this machine cannot decode.
    """

    num_pictures: int
    min_cosine: float
    mean_cosine: float
    max_difference: float
    max_attention_difference: float
    worst: str
    skipped: tuple[str, ...]

    def figures(self) -> dict[str, float]:
        """The numbers, as a manifest stores them."""
        return {name: float(value) for name, value in asdict(self).items() if isinstance(value, int | float)}


# Picture files to what an encoder makes of each, or why it does not; attention where asked for.
Answers = Sequence[Encoded | PictureError]
Embedder = Callable[[Sequence[bytes], bool], Answers]


def encoder_embedder(encoder: ImageEncoder) -> Embedder:
    """An encoder as the gate asks it."""

    def embed(pictures: Sequence[bytes], attention: bool) -> Answers:
        return encoder.encode_pictures(pictures, attention=attention)

    return embed


def measure_parity(
    embed: Embedder, references: Sequence[Reference], batch_sizes: Sequence[int] = BATCH_SIZES
) -> Parity:
    """Compare answers with references, at several batch sizes; the worst one counts.

    Raises:
        ParityError: there is nothing to compare, an answer is missing, or one holds a number that is not finite.
    """
    passes = [(size, False) for size in batch_sizes]
    if any(one.attention_P is not None for one in references):
        passes.append((max(batch_sizes), True))
    cosines: list[tuple[float, str]] = []
    difference = attention_difference = 0.0
    skipped: set[str] = set()
    for size, attention in passes:
        for start in range(0, len(references), size):
            batch = references[start : start + size]
            for one, answer in zip(batch, embed([one.picture for one in batch], attention), strict=True):
                if isinstance(answer, UnsupportedFormatError):
                    skipped.add(one.name)
                    continue
                found_D = _embedding(answer, one.name)
                cosines.append((float(found_D @ one.embedding_D), one.name))
                difference = max(difference, float(np.abs(found_D - one.embedding_D).max()))
                if attention and one.attention_P is not None and not isinstance(answer, PictureError):
                    assert answer.attention_BP is not None
                    distance = np.abs(answer.attention_BP[0] - one.attention_P).max()
                    attention_difference = max(attention_difference, float(distance))
    if not cosines:
        raise ParityError("there is no picture to compare on")
    least, worst = min(cosines)
    mean = sum(cosine for cosine, _ in cosines) / len(cosines)
    num_pictures = len(references) - len(skipped)
    return Parity(num_pictures, least, mean, difference, attention_difference, worst, tuple(sorted(skipped)))


def _embedding(answer: Encoded | PictureError, name: str) -> NDArray[np.float32]:
    if isinstance(answer, PictureError):
        raise ParityError(f"picture {name} got no embedding: {answer.message}")
    found_D: NDArray[np.float32] = answer.embedding_BD[0]
    if not np.isfinite(found_D).all():
        raise ParityError(f"the embedding of picture {name} holds numbers that are not finite (overflow)")
    return found_D


def tolerance_of(variant: Variant) -> Tolerance:
    """fp32 and fp16 move an answer by rounding alone; the others are held to what was measured at export."""
    if variant.precision in TOLERANCES and variant.pruning is None:
        return TOLERANCES[variant.precision]
    return measured_tolerance(variant.parity)


def measured_tolerance(figures: dict[str, float]) -> Tolerance:
    """What a variant that changes the answers is held to later: as it was at export, with the slack of processors."""
    return Tolerance(figures["min_cosine"] - SLACK.min_cosine, figures["max_difference"] + SLACK.max_difference)


def require_parity(parity: Parity, tolerance: Tolerance, what: str) -> None:
    """Refuse what is too far off.

    Args:
        parity: as measured.
        tolerance: as allowed.
        what: the encoder, for the message.

    Raises:
        ParityError: beyond the tolerance.
    """
    if parity.min_cosine >= tolerance.min_cosine and parity.max_difference <= tolerance.max_difference:
        return
    raise ParityError(
        f"{what} disagrees with the network it was made from: on {parity.num_pictures} pictures the least cosine is "
        f"{parity.min_cosine:.6f} (picture {parity.worst}; at least {tolerance.min_cosine:.6f} is required), the "
        f"greatest difference {parity.max_difference:.1e} (at most {tolerance.max_difference:.1e})"
    )
