"""The projection of patch features that a catalogue's items share: principal components, whitened, learned once.

Patch features of a vision transformer lie mostly along a few directions that all pictures have in common. In whitened
components a direction counts by how patches differ along it, which tells patches of fine-grained labels apart better
than the features themselves (benchmarks/answers_rerank.py).
"""

# N patches, E token dim, K kept dims.

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from encoder.errors import CatalogueCorruptError
from index.answers.local_features import LocalFeatures, PivotalPatches, pack

NUM_DIMS = 64
# A component of so little variance, as a share of the first one's, is noise that whitening would blow up.
LEAST_VARIANCE = 1e-6
_FORMAT = 1


@dataclass(frozen=True)
class PatchProjection:
    """What is taken off a patch feature and what it is multiplied with.

    Attributes:
        mean_E: of the sample, float32.
        whitening_EK: principal components, each over the square root of its variance, float32.
    """

    mean_E: NDArray[np.float32]
    whitening_EK: NDArray[np.float32]

    def project(self, patches: PivotalPatches) -> LocalFeatures:
        """Patches as they are compared: whitened, and of length 1."""
        features_PK = np.asarray((patches.features_PE - self.mean_E) @ self.whitening_EK, np.float32)
        norms_P1 = np.linalg.norm(features_PK, axis=1, keepdims=True)
        units_PK: NDArray[np.float32] = features_PK / np.maximum(norms_P1, np.finfo(np.float32).tiny)
        return LocalFeatures(patches.positions_P, units_PK, patches.scores_A, patches.influence_P)

    def packed(self, patches: PivotalPatches) -> bytes:
        """Patches as they are stored."""
        return pack(self.project(patches), self.stamp)

    @cached_property
    def stamp(self) -> int:
        """A number by which to tell it from another projection: features of two of them do not compare."""
        return zlib.crc32(self.dumps())

    def dumps(self) -> bytes:
        """As a blob."""
        sizes = np.array([_FORMAT, *self.whitening_EK.shape], "<u4")
        return sizes.tobytes() + self.mean_E.astype("<f4").tobytes() + self.whitening_EK.astype("<f4").tobytes()

    @classmethod
    def loads(cls, blob: bytes) -> "PatchProjection":
        """From a blob.

        Raises:
            CatalogueCorruptError: it is none.
        """
        sizes = np.frombuffer(blob[:12], "<u4") if len(blob) >= 12 else np.zeros(3, "<u4")
        token_dim, num_dims = int(sizes[1]), int(sizes[2])
        if sizes[0] != _FORMAT or len(blob) != 12 + 4 * token_dim * (1 + num_dims):
            raise CatalogueCorruptError(
                "the patch projection of the catalogue cannot be read; make it and the local features anew with "
                "`lodisc index local CATALOGUE --fresh`"
            )
        numbers = np.frombuffer(blob, "<f4", offset=12).astype(np.float32)
        return cls(numbers[:token_dim], numbers[token_dim:].reshape(token_dim, num_dims))


def learn_projection(sample: Sequence[PivotalPatches]) -> PatchProjection:
    """Learn the projection from the patches of some pictures, at least one."""
    patches_NE = np.concatenate([patches.features_PE for patches in sample]).astype(np.float64)
    mean_E = patches_NE.mean(axis=0)
    centred_NE = patches_NE - mean_E
    variances, components = np.linalg.eigh(centred_NE.T @ centred_NE / len(patches_NE))  # ascending
    kept = np.argsort(-variances, kind="stable")[:NUM_DIMS]
    kept = kept[variances[kept] > LEAST_VARIANCE * max(variances[-1], np.finfo(np.float64).tiny)]
    whitening_EK = components[:, kept] / np.sqrt(variances[kept])
    return PatchProjection(mean_E.astype(np.float32), whitening_EK.astype(np.float32))
