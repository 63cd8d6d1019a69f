"""The pivotal patches of a picture: what its encoder attends to most, small enough to be kept for every item.

A picture's patches with the highest patch scores are taken, their features projected (`patch_projection`) and stored as
8-bit numbers with one scale a patch, beside their positions and the scores of all patches, which also weigh them. With
an encoder of 196 patches an item takes 1,022 bytes, with one of 36 patches 862.

Not covered: where they are stored (`local_table`) and how two pictures are compared (`late_interaction`).
"""

# A all patches of a picture, P its pivotal ones, best first, E token dim, K kept dims, C items.

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.errors import CatalogueCorruptError
from encoder.image_encoder import Encoded

NUM_PATCHES = 12
FORMAT = 1
_STEPS = 127  # of an 8-bit number on either side of zero
_SCORE_STEPS = 255
STAMP_BYTES = 4  # the first bytes of a blob: the stamp of the projection that it was made with
_HEADER = np.dtype([("stamp", "<u4"), ("format", "u1"), ("pivotal", "u1"), ("dims", "<u2"), ("all", "<u2")])


@dataclass(frozen=True)
class PivotalPatches:
    """The patches of one picture that matter, as the encoder gives them.

    Attributes:
        positions_P: which of the picture's patches, row-major over the grid, int64.
        features_PE: of each, float32.
        scores_A: of all patches, sum 1, float32.
        influence_P: what each pivotal patch settles, as of `influence`; None where that was not measured.
    """

    positions_P: NDArray[np.int64]
    features_PE: NDArray[np.float32]
    scores_A: NDArray[np.float32]
    influence_P: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class LocalFeatures:
    """The pivotal patches of one picture, ready to be compared.

    Attributes:
        positions_P: which of the picture's patches, int64.
        features_PK: of each, of length 1, float32.
        scores_A: of all patches, sum 1, float32.
        influence_P: what each pivotal patch settles, as of `influence`; None where that was not measured. Not stored.
    """

    positions_P: NDArray[np.int64]
    features_PK: NDArray[np.float32]
    scores_A: NDArray[np.float32]
    influence_P: NDArray[np.float32] | None = None

    @property
    def weights(self) -> NDArray[np.float32]:
        """What each pivotal patch weighs, float32 of sum 1: by the square root of its score.

        The scores themselves, products over all layers, leave one patch nearly all the weight.
        """
        scores_P = np.sqrt(self.scores_A[self.positions_P])
        total = scores_P.sum()
        if not total > 0:
            return np.full(len(scores_P), 1 / max(1, len(scores_P)), np.float32)
        weights_P: NDArray[np.float32] = scores_P / total
        return weights_P


def pivotal_patches(scores_A: NDArray[np.float32], tokens_AE: NDArray[np.float32]) -> PivotalPatches:
    """Take the NUM_PATCHES patches with the highest scores, best first; of equal ones the first."""
    positions_P = np.argsort(-scores_A, kind="stable")[:NUM_PATCHES]
    return PivotalPatches(positions_P, tokens_AE[positions_P].copy(), scores_A.copy())


def pivotal_patches_of(encoded: Encoded) -> list[PivotalPatches]:
    """The pivotal patches of each picture of a batch that was encoded with attention and tokens."""
    assert encoded.attention_BP is not None
    assert encoded.tokens_BPE is not None
    return [
        pivotal_patches(scores_A, tokens_AE)
        for scores_A, tokens_AE in zip(encoded.attention_BP, encoded.tokens_BPE, strict=True)
    ]


def pack(local: LocalFeatures, stamp: int) -> bytes:
    """Local features as a blob. A number of a feature moves by about half a step at most, 1/254 of the largest one.

    Args:
        local: to be stored.
        stamp: of the projection that made them, 32 bits.
    """
    num_pivotal, num_dims = local.features_PK.shape
    layout = _layout(num_pivotal, num_dims, len(local.scores_A))
    record = np.zeros((), layout)
    record["header"] = (stamp, FORMAT, num_pivotal, num_dims, len(local.scores_A))
    peaks_P = np.abs(local.features_PK).max(axis=1)
    record["positions"], record["peaks"] = local.positions_P, peaks_P
    steps_PK = local.features_PK / np.maximum(peaks_P, np.finfo(np.float32).tiny)[:, None] * _STEPS
    record["features"] = np.rint(steps_PK)
    peak = max(float(local.scores_A.max()), float(np.finfo(np.float32).tiny))
    record["scores"] = np.rint(local.scores_A / peak * _SCORE_STEPS)
    return record.tobytes()


def unpack(blobs: Sequence[bytes]) -> list[LocalFeatures]:
    """Blobs of one catalogue as local features; all at once, which is many times faster than each alone.

    Raises:
        CatalogueCorruptError: one is of another format than this program's, or damaged.
    """
    if not blobs:
        return []
    layout = _layout_of(blobs[0])
    if any(blob[: _HEADER.itemsize] != blobs[0][: _HEADER.itemsize] or len(blob) != layout.itemsize for blob in blobs):
        raise _unreadable("they were not all made alike")
    records_C = np.frombuffer(b"".join(blobs), layout)
    positions_CP = records_C["positions"].astype(np.int64)
    if positions_CP.size and positions_CP.max() >= records_C["scores"].shape[1]:
        raise _unreadable("a patch lies outside the grid")
    features_CPK = records_C["features"].astype(np.float32)
    features_CPK *= (records_C["peaks"].astype(np.float32) / _STEPS)[:, :, None]
    features_CPK /= np.maximum(np.linalg.norm(features_CPK, axis=2, keepdims=True), np.finfo(np.float32).tiny)
    scores_CA = records_C["scores"].astype(np.float32)
    scores_CA /= np.maximum(scores_CA.sum(axis=1, keepdims=True), 1)
    return [LocalFeatures(*parts) for parts in zip(positions_CP, features_CPK, scores_CA, strict=True)]


def _layout_of(blob: bytes) -> np.dtype[Any]:
    """The layout that a blob says it has."""
    if len(blob) < _HEADER.itemsize:
        raise _unreadable("they are cut short")
    header = np.frombuffer(blob[: _HEADER.itemsize], _HEADER)[0]
    if header["format"] != FORMAT:
        raise _unreadable(f"they have format {header['format']}, this program reads {FORMAT}")
    return _layout(int(header["pivotal"]), int(header["dims"]), int(header["all"]))


@lru_cache(maxsize=16)
def _layout(num_pivotal: int, num_dims: int, num_all: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("header", _HEADER),
            ("positions", "<u2", (num_pivotal,)),
            ("peaks", "<f2", (num_pivotal,)),  # the largest number of each feature, which its steps are shares of
            ("features", "i1", (num_pivotal, num_dims)),
            ("scores", "u1", (num_all,)),  # as shares of the largest
        ]
    )


def _unreadable(reason: str) -> CatalogueCorruptError:
    return CatalogueCorruptError(
        f"the local features of the catalogue cannot be read: {reason}; "
        "make them anew with `lodisc index local CATALOGUE --fresh`"
    )
