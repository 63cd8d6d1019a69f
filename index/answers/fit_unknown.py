"""Fitting the score for "none of these": each question as it is, and as a stranger, with its whole class left out.

Cross-validated by class: what scores a question has seen neither it nor any other of its class. The verdict's threshold
is taken from those scores, at the rate of strangers taken for known that was asked for; what that comes to is measured
on the classes of each fold by the threshold that the others give. Where nobody asked, it is 5 %;
where that would reject more than half of what is known, the smallest rate that does not; and where that rate is over
20 %, the verdict spares 99 % of what is known and is for what is unlike all of it: strangers that resemble the
catalogue pass, and the rate says how many. Without any verdict a thing from anywhere could be told by a name, and sure.
"""

# Q questions, C classes, R draws.

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from encoder.bootstrap import LEVEL, NUM_DRAWS
from index.answers.calibration import DEFAULT_FALSE_ACCEPTANCE, UnknownModel
from index.answers.classes import Classes
from index.answers.fit_ranks import log_odds_each
from index.answers.fit_vote import VoteSettings, bulk_vote
from index.answers.leave_one_out import Neighbours, Questions
from index.answers.logistic import LogisticMap, fit_logistic
from index.answers.reliability import acceptance_curve, auroc
from index.answers.shares import GAP_PLACE
from index.evaluation_items import NONE

MIN_CLASSES = 3
MOST_REJECTED = 0.5
LOOSEST_ACCEPTANCE = 0.2
LEAST_REJECTED = 0.01  # of the known, by a verdict on what is unlike all of them

# Scores of the known and of strangers to a threshold.
Rule = Callable[[NDArray[np.float64], NDArray[np.float64]], float]


def fit_unknown(
    classes: Classes,
    questions: Questions,
    settings: VoteSettings,
    ranks: list[str],
    wanted: float | None,
    num_folds: int,
    seed: int,
) -> UnknownModel | None:
    """Fit it; None where there are fewer than three classes with questions.

    Args:
        classes: of the items.
        questions: to fit on.
        settings: of the vote.
        ranks: that are calibrated, finest first.
        wanted: share of strangers taken for known; None for the default.
        num_folds: for cross-validation.
        seed: of the folds.
    """
    usable_Q = np.logical_or.reduce([questions.own[rank] != NONE for rank in ranks])
    usable_Q &= (questions.strangers.positions_QK[:, 0] != NONE) & (questions.class_Q != NONE)
    found = np.unique(questions.class_Q[usable_Q])
    if len(found) < MIN_CLASSES:
        return None
    known_QF = _features(classes, questions, questions.known, settings, ranks)[usable_Q]
    stranger_QF = _features(classes, questions, questions.strangers, settings, ranks)[usable_Q]
    fold_of_class = np.random.default_rng(seed).permutation(len(found)) % min(num_folds, len(found))
    fold_Q = fold_of_class[np.searchsorted(found, questions.class_Q[usable_Q])]
    known_Q, strangers_Q = np.zeros(len(fold_Q)), np.zeros(len(fold_Q))
    for fold in range(int(fold_Q.max()) + 1):
        inside_Q = fold_Q == fold
        fitted = _fit(known_QF[~inside_Q], stranger_QF[~inside_Q])
        known_Q[inside_Q] = 1 - fitted.bulk(known_QF[inside_Q])
        strangers_Q[inside_Q] = 1 - fitted.bulk(stranger_QF[inside_Q])
    default = _threshold(strangers_Q, DEFAULT_FALSE_ACCEPTANCE)
    rule = _rule(known_Q, strangers_Q, default, wanted)
    # By the threshold that the other classes give: at its own scores a rule keeps its rate, whatever that is worth.
    accepted_Q, rejected_Q = np.zeros(len(fold_Q), np.bool_), np.zeros(len(fold_Q), np.bool_)
    for fold in range(int(fold_Q.max()) + 1):
        inside_Q = fold_Q == fold
        by_others = rule(known_Q[~inside_Q], strangers_Q[~inside_Q])
        accepted_Q[inside_Q], rejected_Q[inside_Q] = (
            strangers_Q[inside_Q] < by_others,
            known_Q[inside_Q] >= by_others,
        )
    return UnknownModel(
        known=_fit(known_QF, stranger_QF),
        threshold=rule(known_Q, strangers_Q),
        wanted_acceptance=wanted,
        false_acceptance=float(accepted_Q.mean()),
        false_acceptance_interval=_interval_by_class(accepted_Q, questions.class_Q[usable_Q], seed),
        known_rejected=float(rejected_Q.mean()),
        rejected_at_default=float((known_Q >= default).mean()),
        num_questions=len(known_Q),
        auroc=auroc(known_Q, strangers_Q),
        curve=acceptance_curve(known_Q, strangers_Q),
    )


def _rule(known_Q: NDArray[np.float64], strangers_Q: NDArray[np.float64], default: float, wanted: float | None) -> Rule:
    """How the verdict's threshold is taken from scores of known and strangers; chosen once, on all of them."""
    if wanted is not None:
        return lambda known_Q, strangers_Q: _threshold(strangers_Q, wanted)
    if (known_Q >= default).mean() <= MOST_REJECTED:
        return lambda known_Q, strangers_Q: _threshold(strangers_Q, DEFAULT_FALSE_ACCEPTANCE)
    is_told = (strangers_Q < _sparing(known_Q, MOST_REJECTED)).mean() <= LOOSEST_ACCEPTANCE
    rejected = MOST_REJECTED if is_told else LEAST_REJECTED
    return lambda known_Q, strangers_Q: _sparing(known_Q, rejected)


def _sparing(known_Q: NDArray[np.float64], rejected: float) -> float:
    """The least score that no more than this share of the known reaches."""
    return float(np.nextafter(np.quantile(known_Q, 1 - rejected, method="higher"), np.inf))


def _interval_by_class(accepted_Q: NDArray[np.bool_], class_Q: NDArray[np.int64], seed: int) -> list[float]:
    """The 95 % bootstrap interval of the share accepted; whole classes are drawn, as strangers come by class."""
    _, number_Q = np.unique(class_Q, return_inverse=True)
    num_C = np.bincount(number_Q)
    accepted_C = np.bincount(number_Q, weights=accepted_Q)
    draws_RC = np.random.default_rng(seed).integers(0, len(num_C), (NUM_DRAWS, len(num_C)))
    shares_R = accepted_C[draws_RC].sum(axis=1) / num_C[draws_RC].sum(axis=1)
    return [float(end) for end in np.quantile(shares_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])]


def _threshold(strangers_Q: NDArray[np.float64], acceptance: float) -> float:
    """The greatest score that lets no more than this share of the strangers fall below it."""
    return float(np.sort(strangers_Q)[min(int(acceptance * len(strangers_Q)), len(strangers_Q) - 1)])


def _fit(known_QF: NDArray[np.float64], stranger_QF: NDArray[np.float64]) -> LogisticMap:
    outcome = np.repeat([True, False], [len(known_QF), len(stranger_QF)])
    return fit_logistic(np.concatenate([known_QF, stranger_QF]), outcome)


def _features(
    classes: Classes, questions: Questions, found: Neighbours, settings: VoteSettings, ranks: list[str]
) -> NDArray[np.float64]:
    """First cosine, gap and agreement of `index.answers.unknown.evidence`, for all questions; shape (Q, 3)."""
    share_Q, decided_Q = np.zeros(len(found.positions_QK)), np.zeros(len(found.positions_QK), np.bool_)
    for rank in ranks:
        vote = bulk_vote(classes, questions, found, rank, settings)
        here_Q = ~decided_Q & (vote.top_Q != NONE)
        share_Q[here_Q] = vote.share_Q[here_Q]
        decided_Q |= here_Q
    place = min(GAP_PLACE, settings.k)
    num_Q = (found.positions_QK[:, :place] != NONE).sum(axis=1)
    first_Q = found.cosines_QK[:, 0]
    last_Q = found.cosines_QK[np.arange(len(num_Q)), np.maximum(num_Q - 1, 0)]
    there_Q = num_Q > 0
    return np.column_stack(
        [
            np.where(there_Q, first_Q, -1.0),
            np.where(there_Q, first_Q - np.where(there_Q, last_Q, 0.0), 0.0),
            log_odds_each(share_Q, settings.k),
        ]
    )
