"""What the neighbours say the picture is: a vote weighted by similarity.

Not calibrated: `confidence` is a share of the vote, not a probability, and whether the picture is "none of these" is
left open (None), because nothing has been measured that could decide it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from index.items import Match


@dataclass(frozen=True)
class Prediction:
    """The answer to "what is this?".

    Attributes:
        label: the name with the largest share; None if no neighbour has a label.
        rank: which rank the label is of.
        confidence: its share of the vote, in [0, 1], not calibrated; None without a label.
        unknown: whether it is none of the catalogue's; None while that is not calibrated.
        unknown_score: None, likewise.
    """

    label: str | None
    rank: str | None
    confidence: float | None
    unknown: bool | None = None
    unknown_score: float | None = None


def vote(matches: Sequence[Match]) -> Prediction:
    """Let the neighbours vote for their finest label, each with its cosine (and never with less than nothing).

    Ties go to the label of the nearer neighbour.
    """
    labelled = [(match.score, *next(iter(match.labels.items()))) for match in matches if match.labels]
    if not labelled:
        return Prediction(None, None, None)
    shares: dict[tuple[str, str], float] = {}
    for score, rank, label in labelled:
        shares[rank, label] = shares.get((rank, label), 0.0) + max(score, 0.0)
    (rank, label), share = max(shares.items(), key=lambda entry: entry[1])
    total = sum(shares.values())
    return Prediction(label, rank, share / total if total > 0 else 0.0)
