"""How the neighbours of one photograph divide their vote among the labels of each rank.

A neighbour weighs exp((cosine - first cosine) / temperature), times the size of its class to the minus exponent, so
that a label is not the likelier for having many pictures. At every rank a label's share is the sum over its items, so
that a genus has what its species have. A neighbour that is named at another rank alone names none here and holds its
part of the vote back: were it left out, one far species would be all that is said of a genus that has none. A neighbour
without any label has no vote. Without a calibration a neighbour weighs its cosine.

Copies of one picture with the same labels count once: a calibration has left copies out too. Where a search found
fewer neighbours than were calibrated, because a filter let no more through, those that lack are taken to be as far as
they usually are and to name nothing: one lone item is not the whole truth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from index.answers.calibration import Calibration
from index.answers.lineages import ClassKey, Homonyms, class_key, ranks_above
from index.items import Match

UNCALIBRATED_K = 10
GAP_PLACE = 10  # the neighbour to which the first one's distance is told
SAME_COSINE = 2e-7  # of copies, whose vectors are the same: rounding of the sum

Shares = dict[str, dict[ClassKey, float]]  # by rank, best first


@dataclass(frozen=True)
class PhotoVote:
    """What the neighbours of one photograph say.

    Attributes:
        shares: of each label by rank, best first, a tie to the nearer; each rank sums to at most 1.
        first: cosine of the first neighbour.
        gap: how much nearer that is than the tenth, or the last there is.
    """

    shares: Shares
    first: float
    gap: float


def num_voters(calibration: Calibration | None) -> int:
    """How many neighbours a vote wants."""
    return UNCALIBRATED_K if calibration is None else calibration.k


def photo_vote(
    neighbours: Sequence[Match], ranks: Sequence[str], homonyms: Homonyms, calibration: Calibration | None
) -> PhotoVote | None:
    """The vote of a photograph's neighbours; None without any.

    Args:
        neighbours: nearest first; those beyond the calibrated number, copies not counted, are passed over.
        ranks: of the catalogue, finest first; other ranks come after them.
        homonyms: see `index.answers.lineages`.
        calibration: None for the plain vote.
    """
    distinct = without_copies(neighbours)
    voters = distinct if calibration is None else distinct[: calibration.k]
    if not voters:
        return None
    first = voters[0].score
    gap = first - voters[min(GAP_PLACE, len(voters)) - 1].score
    weights = [_weight(match, first, ranks, calibration) for match in voters]
    lacking = 0.0
    if calibration is not None and len(voters) < calibration.k:
        far = min(voters[-1].score, calibration.far_cosine)
        size = calibration.typical_size**-calibration.class_exponent
        lacking = (calibration.k - len(voters)) * math.exp((far - first) / calibration.temperature) * size
    above = ranks_above(ranks)
    total = sum(weight for match, weight in zip(voters, weights, strict=True) if match.labels) + lacking
    shares: Shares = {}
    for rank in (*ranks, *dict.fromkeys(rank for match in voters for rank in match.labels if rank not in ranks)):
        sums: dict[ClassKey, float] = {}
        for match, weight in zip(voters, weights, strict=True):
            if rank in match.labels:
                key = class_key(match.labels, rank, homonyms, above)
                sums[key] = sums.get(key, 0.0) + weight
        if sums:
            shares[rank] = {
                key: value / total if total > 0 else 0.0
                for key, value in sorted(sums.items(), key=lambda entry: -entry[1])
            }
    return PhotoVote(shares, first, gap)


def log_odds(share: float, k: int) -> float:
    """The log odds of a share among k voters, half a voter short of certainty."""
    return math.log((share * k + 0.5) / ((1 - share) * k + 0.5))


def without_copies(found: Sequence[Match]) -> list[Match]:
    """The neighbours without those that have vector and labels of one before them."""
    kept: list[Match] = []
    for match in found:
        for other in reversed(kept):
            if other.score - match.score > SAME_COSINE:
                kept.append(match)
                break
            if other.labels == match.labels:
                break
        else:
            kept.append(match)
    return kept


def _weight(match: Match, first: float, ranks: Sequence[str], calibration: Calibration | None) -> float:
    if calibration is None:
        return max(match.score, 0.0)
    weight = math.exp((match.score - first) / calibration.temperature)
    if calibration.class_exponent and match.labels:
        rank = next((rank for rank in ranks if rank in match.labels), None) or next(iter(match.labels))
        size = calibration.class_sizes.get(rank, {}).get(match.labels[rank]) or calibration.typical_size
        weight *= size**-calibration.class_exponent
    return weight
