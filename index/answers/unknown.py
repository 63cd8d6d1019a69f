"""Whether it is "none of these": three facts of a vote, and the score that is made of them.

    first       cosine of the first neighbour
    gap         how much nearer it is than the tenth
    agreement   log odds of the first label's share at the finest rank

Each may only speak for a known thing. The score is the probability of a stranger where strangers are as frequent as
what is known; how frequent they really are nobody can know beforehand, so the verdict goes by the rate of strangers
taken for known that a person accepts.
"""

from collections.abc import Sequence

from index.answers.calibration import UnknownModel
from index.answers.shares import PhotoVote, log_odds


def evidence(vote: PhotoVote, ranks: Sequence[str], k: int) -> tuple[float, float, float]:
    """First cosine, gap and agreement; `ranks` are finest first."""
    finest = next((vote.shares[rank] for rank in ranks if rank in vote.shares), {})
    return vote.first, vote.gap, log_odds(next(iter(finest.values()), 0.0), k)


def unknown_score(model: UnknownModel, vote: PhotoVote, ranks: Sequence[str], k: int) -> float:
    """The score, in [0, 1]."""
    return 1 - model.known(*evidence(vote, ranks, k))
