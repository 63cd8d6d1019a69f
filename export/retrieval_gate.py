"""The retrieval gate: does a faster variant find as well as fp32 does, on the person's own pictures?

A cosine of 0.999 may be harmless or may exchange two species; only retrieval tells. Labels are the sub-folders. Without
labels, what fp32 finds stands in for the truth: the ten neighbours that both find.
"""

# N pictures, D embedding dim, K neighbours.

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.errors import ParityError
from encoder.retrieval_metrics import leave_one_out, query_gallery, unit

NEIGHBOURS = 10
DEFAULT_FLOOR = 0.99
# Without labels: the share of the ten nearest that must stay. Near ties change places freely, so it is not the floor.
LEAST_OVERLAP = 0.8


@dataclass(frozen=True)
class RetrievalCheck:
    """A variant against fp32 on the same pictures, leave one out.

    Attributes:
        num_pictures: embedded by both.
        num_queries: with another picture of their label; 0 where there are no labels.
        rank_1, rank_1_fp32: share of queries whose first neighbour has their label.
        mAP, mAP_fp32: mean average precision over the whole list.
        mAP_mixed: the variant's queries against a gallery embedded by fp32.
        overlap: share of fp32's ten nearest that are among the variant's ten nearest, mean over pictures.
        cosine_min, cosine_1st_percentile, cosine_mean: between the two embeddings of a picture.
    """

    num_pictures: int
    num_queries: int
    rank_1: float
    rank_1_fp32: float
    mAP: float
    mAP_fp32: float
    mAP_mixed: float
    overlap: float
    cosine_min: float
    cosine_1st_percentile: float
    cosine_mean: float

    @property
    def ratio(self) -> float:
        """Its mAP over fp32's; 1 where there are no labels."""
        return self.mAP / self.mAP_fp32 if self.mAP_fp32 > 0 else 1.0

    def figures(self) -> dict[str, float]:
        """The numbers, as a manifest stores them."""
        return {name: float(value) for name, value in asdict(self).items()}

    def line(self) -> str:
        """One line for a person."""
        cosine = f"cosine {self.cosine_mean:.5f} (least {self.cosine_min:.5f})"
        if not self.num_queries:
            return f"{self.overlap:.1%} of the ten nearest as fp32 on {self.num_pictures} unlabelled pictures; {cosine}"
        return (
            f"rank-1 {self.rank_1:.3f} (fp32 {self.rank_1_fp32:.3f}), mAP {self.mAP:.4f} (fp32 {self.mAP_fp32:.4f}, "
            f"ratio {self.ratio:.4f}) on {self.num_pictures} pictures; {cosine}"
        )


def compare_retrieval(
    fp32_ND: NDArray[np.float32], variant_ND: NDArray[np.float32], labels: Sequence[str | None]
) -> RetrievalCheck:
    """Measure a variant's retrieval against fp32's.

    Args:
        fp32_ND: embeddings of the fp32 encoder, float32, shape (N, D), N at least 2.
        variant_ND: of the variant.
        labels: one a picture; those without are gallery only.
    """
    named = [
        f"\0{number}" if label is None else label for number, label in enumerate(labels)
    ]  # each a label of its own
    expected, found = leave_one_out(fp32_ND, named), leave_one_out(variant_ND, named)
    # Against the fp32 gallery a picture would find itself first, so the mixed figure is over other pictures' rows.
    half = np.arange(len(named)) % 2 == 0
    halves = [(half, ~half), (~half, half)]
    mixed = [_map(variant_ND[a], named, a, fp32_ND[b], b) for a, b in halves]
    same = [_map(fp32_ND[a], named, a, fp32_ND[b], b) for a, b in halves]
    cosines_N = (unit(fp32_ND) * unit(variant_ND)).sum(axis=1)
    return RetrievalCheck(
        num_pictures=len(named),
        num_queries=expected.num_queries,
        rank_1=found.rank_1,
        rank_1_fp32=expected.rank_1,
        mAP=found.mean_average_precision,
        mAP_fp32=expected.mean_average_precision,
        mAP_mixed=expected.mean_average_precision * (sum(mixed) / sum(same) if sum(same) > 0 else 1.0),
        overlap=_overlap(fp32_ND, variant_ND),
        cosine_min=float(cosines_N.min()),
        cosine_1st_percentile=float(np.quantile(cosines_N, 0.01)),
        cosine_mean=float(cosines_N.mean()),
    )


def _map(
    queries: NDArray[np.float32],
    labels: Sequence[str],
    of_queries: NDArray[np.bool_],
    gallery: NDArray[np.float32],
    of_gallery: NDArray[np.bool_],
) -> float:
    names = np.array(labels)
    return query_gallery(
        queries, names[of_queries].tolist(), gallery, names[of_gallery].tolist()
    ).mean_average_precision


def _overlap(one_ND: NDArray[np.float32], other_ND: NDArray[np.float32]) -> float:
    """Mean share of the nearest that two encoders have in common."""
    k = min(NEIGHBOURS, len(one_ND) - 1)
    nearest_one, nearest_other = _nearest(one_ND, k), _nearest(other_ND, k)
    pairs = zip(nearest_one, nearest_other, strict=True)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in pairs]))


def _nearest(embeddings_ND: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    similarity_NN = unit(embeddings_ND) @ unit(embeddings_ND).T
    np.fill_diagonal(similarity_NN, -np.inf)
    return np.argpartition(-similarity_NN, k - 1, axis=1)[:, :k]


def require_retrieval(check: RetrievalCheck, floor: float, variant: str) -> None:
    """Refuse a variant that finds worse.

    Args:
        check: as measured.
        floor: least mAP as a share of fp32's.
        variant: its name, for the message.

    Raises:
        ParityError: below the floor; without labels, too few of the nearest are the same.
    """
    if check.num_queries == 0 and check.overlap < LEAST_OVERLAP:
        raise ParityError(
            f"{variant} finds other pictures than fp32: {check.line()}; at least {LEAST_OVERLAP:.0%} are required "
            "where there are no labels (sub-folders) to judge by; no bundle was written"
        )
    if check.ratio < floor:
        raise ParityError(
            f"{variant} finds worse than fp32: {check.line()}; a ratio of {floor} is required (--floor); "
            "no bundle was written"
        )
