"""How alike two pictures are by their pivotal patches: each of the query's with the one of the item's most like it.

The score is the mean of those cosines, each weighted by what the query's patch weighs (late interaction, as ColBERT has
it for words, arXiv:2004.12832; there all weigh the same). It is in [-1, 1], and is a sum of one part a pair, so what a
pair brought can be said.
"""

# C candidates, Q pivotal patches of the query, P of an item, K kept dims.

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.answers.local_features import LocalFeatures


@dataclass(frozen=True)
class Interaction:
    """A query's patches and those of some candidates, put together.

    Attributes:
        score_C: of each candidate, in [-1, 1], float32.
        cosine_CQ: of each of the query's patches with its partner, float32.
        partner_CQ: which of the candidate's pivotal patches that is, int64.
    """

    score_C: NDArray[np.float32]
    cosine_CQ: NDArray[np.float32]
    partner_CQ: NDArray[np.int64]


def interact(query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> Interaction:
    """Compare a query with candidates, all of one encoder and projection."""
    num_patches = len(query.positions_P)
    if not candidates:
        empty = np.empty((0, num_patches), np.float32)
        return Interaction(np.empty(0, np.float32), empty, empty.astype(np.int64))
    items_CPK = np.stack([candidate.features_PK for candidate in candidates])
    # One product of two matrices: a hundred candidates take a tenth of a millisecond.
    flat_QN = query.features_PK @ items_CPK.reshape(-1, items_CPK.shape[2]).T
    cosine_CQP = flat_QN.reshape(num_patches, len(candidates), -1).transpose(1, 0, 2)
    partner_CQ = cosine_CQP.argmax(axis=2)
    cosine_CQ = np.take_along_axis(cosine_CQP, partner_CQ[:, :, None], axis=2)[:, :, 0]
    score_C: NDArray[np.float32] = (cosine_CQ @ query.weights).astype(np.float32)
    return Interaction(score_C, cosine_CQ, partner_CQ)
