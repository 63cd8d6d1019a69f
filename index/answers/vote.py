"""The answer to "what is this?": the finest name that is sure enough, how sure, and what else it may be.

With a calibration a confidence is a probability, among things that the catalogue has: of the first label by the map
fitted for its rank and the number of photographs, of the others what that leaves them, by their shares. A coarser name
is never less likely than the finer one below it. Without a calibration a confidence is a share of the vote and says so;
nothing is sure then, and whether it is none of these is left open, because nothing has been measured that could decide
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from index.answers.calibration import DEFAULT_FLOOR, Calibration
from index.answers.fusion import pooled
from index.answers.help import Help, LabelVote, active_help
from index.answers.lineages import ClassKey, Homonyms, class_key, find_homonyms, ranks_above
from index.answers.shares import PhotoVote, log_odds, photo_vote
from index.answers.unknown import unknown_score
from index.items import Match

NUM_LABELS = 5


@dataclass(frozen=True)
class RankVote:
    """The likeliest labels of a rank, best first.

    Attributes:
        rank: its name.
        labels: with their confidences: probabilities if `calibrated`, else shares of the vote.
        calibrated: whether this rank is; one with too few questions is not.
    """

    rank: str
    labels: list[LabelVote]
    calibrated: bool


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The answer.

    Attributes:
        label: of the finest rank whose confidence passes the floor; of the coarsest if none does; None if no neighbour
            has a label.
        rank: which rank that is of.
        confidence: in [0, 1].
        sure: whether it passes the floor and is not unknown; False without a calibration.
        floor: least confidence of a sure answer.
        calibrated: whether the confidence is a probability.
        unknown: whether it is none of the catalogue's; None where no verdict can be given.
        unknown_score: in [0, 1]; None likewise.
        ranks: what it may be, finest rank first.
        help: what would settle it, where it is not settled at the finest rank.
    """

    label: str | None
    rank: str | None
    confidence: float | None
    sure: bool
    floor: float
    calibrated: bool
    unknown: bool | None
    unknown_score: float | None
    ranks: list[RankVote]
    help: Help | None


def predict(
    photographs: Sequence[Sequence[Match]],
    weights: Sequence[float],
    ranks: Sequence[str],
    calibration: Calibration | None,
    *,
    filtered: bool = False,
) -> Prediction:
    """Let the neighbours of each photograph vote.

    Args:
        photographs: the neighbours of each, nearest first.
        weights: of each, summing to 1.
        ranks: of the catalogue, finest first.
        calibration: of the catalogue.
        filtered: whether only some items could be found.
    """
    matches = [match for found in photographs for match in found]
    homonyms = find_homonyms((match.labels for match in matches), ranks)
    vote = _pooled_vote(photographs, weights, ranks, homonyms, calibration)
    floor = DEFAULT_FLOOR if calibration is None else calibration.floor
    num = sum(1 for found in photographs if found)
    votes = [] if vote is None else _rank_votes(vote, num, matches, ranks, homonyms, calibration)
    score, unknown = None, None
    if vote is not None and calibration is not None and calibration.unknown is not None:
        model = calibration.unknown
        score = unknown_score(model, vote, tuple(calibration.ranks), calibration.k)
        unknown = score >= model.threshold
    chosen, passes = _chosen(votes, ranks, calibration, floor)
    sure = passes and not unknown
    finest = next((one for one in votes if calibration is not None and one.rank in calibration.ranks), None)
    needed = None
    if finest is not None and not (sure and chosen is finest):
        needed = active_help(finest.rank, finest.labels, photographs, unknown=bool(unknown), filtered=filtered)
    best = chosen.labels[0] if chosen is not None else None
    return Prediction(
        label=best.label if best else None, rank=chosen.rank if chosen else None,
        confidence=best.confidence if best else None, sure=sure, floor=floor,
        calibrated=calibration is not None and chosen is not None and chosen.rank in calibration.ranks,
        unknown=unknown, unknown_score=score, ranks=votes, help=needed,
    )  # fmt: skip


def _pooled_vote(
    photographs: Sequence[Sequence[Match]],
    weights: Sequence[float],
    ranks: Sequence[str],
    homonyms: Homonyms,
    calibration: Calibration | None,
) -> PhotoVote | None:
    """The vote of all photographs; None where nothing was found."""
    votes = [photo_vote(found, ranks, homonyms, calibration) for found in photographs]
    there = [(vote, weight) for vote, weight in zip(votes, weights, strict=True) if vote is not None]
    return pooled([vote for vote, _ in there], [weight for _, weight in there]) if there else None


def _rank_votes(
    vote: PhotoVote,
    num_photographs: int,
    matches: Sequence[Match],
    ranks: Sequence[str],
    homonyms: Homonyms,
    calibration: Calibration | None,
) -> list[RankVote]:
    confidences = {
        rank: _confidences(shares, vote.first, calibration, rank, num_photographs)
        for rank, shares in vote.shares.items()
    }
    if calibration is not None:
        _raise_parents(confidences, matches, ranks, homonyms, calibration)
    return [
        RankVote(
            rank,
            [
                LabelVote(name, min(1.0, confidence), parent)
                for (name, parent), confidence in sorted(found.items(), key=lambda entry: -entry[1])[:NUM_LABELS]
            ],
            calibrated=calibration is not None and rank in calibration.ranks,
        )
        for rank, found in confidences.items()
    ]


def _raise_parents(
    confidences: dict[str, dict[ClassKey, float]],
    matches: Sequence[Match],
    ranks: Sequence[str],
    homonyms: Homonyms,
    calibration: Calibration,
) -> None:
    """Make no name less likely than one below it; from the finest rank up. A share and a probability do not compare.

    Where the labels of a rank then promise more than 1 together, each gives back of what it has beyond those below it.
    """
    above = ranks_above(ranks)
    for rank, parent in above.items():
        if not {rank, parent} <= calibration.ranks.keys() & confidences.keys():
            continue
        found, least = confidences[parent], dict.fromkeys(confidences[parent], 0.0)
        for labels in (match.labels for match in matches if rank in match.labels and parent in match.labels):
            confidence = confidences[rank].get(class_key(labels, rank, homonyms, above), 0.0)
            key = class_key(labels, parent, homonyms, above)
            if key in least:
                least[key] = max(least[key], confidence)
        raised = {key: max(confidence, least[key]) for key, confidence in found.items()}
        beyond, needed = sum(raised.values()) - sum(least.values()), sum(least.values())
        part = min(1.0, max(0.0, 1 - needed) / beyond) if beyond > 0 else 1.0
        confidences[parent] = {key: least[key] + part * (value - least[key]) for key, value in raised.items()}


def _confidences(
    shares: dict[ClassKey, float], first: float, calibration: Calibration | None, rank: str, num_photographs: int
) -> dict[ClassKey, float]:
    """The confidence of each label of a rank; its share where the rank is not calibrated."""
    if calibration is None or rank not in calibration.ranks:
        return shares
    fitted = calibration.ranks[rank]
    (best, share), *rest = shares.items()
    top = fitted.map_of(num_photographs)(log_odds(share, calibration.k), first)
    left = (1 - top) * fitted.others / (1 - share) if share < 1 else 0.0
    return {best: top, **{key: min(top, left * other) for key, other in rest}}


def _chosen(
    votes: Sequence[RankVote], ranks: Sequence[str], calibration: Calibration | None, floor: float
) -> tuple[RankVote | None, bool]:
    """The rank that answers, and whether its confidence passes the floor."""
    declared = [one for one in votes if one.rank in ranks] or list(votes)
    if calibration is None:
        return (declared[0] if declared else None), False
    calibrated = [one for one in declared if one.rank in calibration.ranks]
    for one in calibrated:
        if one.labels[0].confidence >= floor:
            return one, True
    return ((calibrated or declared)[-1] if declared else None), False
