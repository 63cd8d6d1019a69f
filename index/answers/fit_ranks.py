"""From shares to probabilities: one map for each rank, and what it is worth on questions that it was not fitted on."""

# Q questions.

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index.answers.calibration import RankCalibration
from index.answers.classes import Classes
from index.answers.fit_vote import BulkVote, VoteSettings, bulk_vote, plain_vote
from index.answers.leave_one_out import Questions
from index.answers.lineages import ranks_above
from index.answers.logistic import LogisticMap, fit_logistic
from index.answers.reliability import calibration_error, chance_error, reliability_bins
from index.evaluation_items import NONE

MIN_QUESTIONS = 40  # of 25 pictures of noise the fit is lucky in one draw of some: four in ten were sure


def calibrated_ranks(classes: Classes, questions: Questions) -> list[str]:
    """The ranks with at least two labels and enough questions."""
    return [
        rank
        for rank in classes.ranks
        if len(classes.keys[rank]) > 1 and (questions.own[rank] != NONE).sum() >= MIN_QUESTIONS
    ]


def fit_ranks(
    classes: Classes,
    questions: Questions,
    settings: VoteSettings,
    settings_by_fold: Sequence[VoteSettings],
    fold_Q: NDArray[np.int64],
    floor: float,
) -> dict[str, RankCalibration]:
    """Fit the maps of all ranks that can be calibrated, finest first.

    Args:
        classes: of the items.
        questions: to fit on.
        settings: of the vote, by all questions.
        settings_by_fold: by the questions outside each fold.
        fold_Q: of each question.
        floor: least confidence of a sure answer.
    """
    ranks = calibrated_ranks(classes, questions)
    votes = {rank: bulk_vote(classes, questions, questions.known, rank, settings) for rank in ranks}
    maps = {rank: _fit_map(questions, votes[rank], rank, settings.k, None) for rank in ranks}
    confidence = {rank: np.zeros(len(fold_Q)) for rank in ranks}
    right = {rank: np.zeros(len(fold_Q), np.bool_) for rank in ranks}
    for fold, chosen in enumerate(settings_by_fold):
        inside_Q = fold_Q == fold
        of_fold = {rank: bulk_vote(classes, questions, questions.known, rank, chosen) for rank in ranks}
        fitted = {rank: _fit_map(questions, of_fold[rank], rank, chosen.k, ~inside_Q) for rank in ranks}
        answers = answered(classes, questions, of_fold, fitted, chosen.k)
        for rank, (top_Q, confidence_Q) in answers.items():
            confidence[rank][inside_Q] = confidence_Q[inside_Q]
            right[rank][inside_Q] = (top_Q == questions.own[rank])[inside_Q]
    return {
        rank: _measured(
            classes, questions, rank, votes[rank], settings.k, maps[rank], confidence[rank], right[rank], floor
        )
        for rank in ranks
    }


def answered(
    classes: Classes, questions: Questions, votes: dict[str, BulkVote], maps: dict[str, LogisticMap], k: int
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """The first label of each question at each rank and its confidence, as `index.answers.vote` gives them."""
    answers: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
    above = ranks_above(classes.declared)
    for rank, vote in votes.items():
        answers[rank] = (vote.top_Q.copy(), maps[rank].bulk(_features(questions, vote, k)))
    for rank in votes:
        parent = above.get(rank)
        if parent not in answers:
            continue
        # A genus is at least as likely as the likeliest of its species.
        position_Q = questions.known.positions_QK[np.arange(len(votes[rank].place_Q)), votes[rank].place_Q]
        parent_Q = np.where(position_Q == NONE, NONE, classes.codes[parent][position_Q])
        top_Q, confidence_Q = answers[parent]
        # What two genera have together is at most 1; what a third one has of it is not seen here.
        torn_Q = (parent_Q != NONE) & (parent_Q != top_Q)
        confidence_Q = np.where(torn_Q, np.minimum(confidence_Q, 1 - answers[rank][1]), confidence_Q)
        raised_Q = (parent_Q != NONE) & (votes[rank].top_Q != NONE) & (answers[rank][1] > confidence_Q)
        answers[parent] = np.where(raised_Q, parent_Q, top_Q), np.where(raised_Q, answers[rank][1], confidence_Q)
    return answers


def _fit_map(
    questions: Questions, vote: BulkVote, rank: str, k: int, wanted_Q: NDArray[np.bool_] | None
) -> LogisticMap:
    own_Q = questions.own[rank]
    asked_Q = (own_Q != NONE) if wanted_Q is None else (own_Q != NONE) & wanted_Q
    return fit_logistic(_features(questions, vote, k)[asked_Q], (vote.top_Q == own_Q)[asked_Q])


def _features(questions: Questions, vote: BulkVote, k: int) -> NDArray[np.float64]:
    """The log odds of the first label's share, and the first cosine; shape (Q, 2)."""
    first_Q = questions.known.cosines_QK[:, 0]
    return np.column_stack([log_odds_each(vote.share_Q, k), np.where(np.isfinite(first_Q), first_Q, -1.0)])


def log_odds_each(share_Q: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """`index.answers.shares.log_odds` of many shares."""
    return np.log((share_Q * k + 0.5) / ((1 - share_Q) * k + 0.5))


def _measured(
    classes: Classes,
    questions: Questions,
    rank: str,
    vote: BulkVote,
    k: int,
    fitted: LogisticMap,
    confidence_Q: NDArray[np.float64],
    right_Q: NDArray[np.bool_],
    floor: float,
) -> RankCalibration:
    own_Q = questions.own[rank]
    asked_Q = own_Q != NONE
    confidence_Q, right_Q = confidence_Q[asked_Q], right_Q[asked_Q]
    codes_QK = classes.codes[rank][questions.known.positions_QK[:, :k]]
    codes_QK[questions.known.positions_QK[:, :k] == NONE] = NONE
    among_Q = (codes_QK == own_Q[:, None]).any(axis=1)
    wrong_Q = (vote.top_Q != own_Q) & asked_Q
    plain = plain_vote(classes, questions, rank)
    labelled_first_Q = codes_QK[np.arange(len(codes_QK)), (codes_QK != NONE).argmax(axis=1)]
    sure_Q = confidence_Q >= floor
    return RankCalibration(
        map=fitted,
        others=float(among_Q[wrong_Q].mean()) if wrong_Q.any() else 0.0,
        num_questions=int(asked_Q.sum()),
        num_alone=questions.num_alone[rank],
        accuracy=float(right_Q.mean()),
        first_accuracy=float((labelled_first_Q == own_Q)[asked_Q].mean()),
        error_before=calibration_error(plain.share_Q[asked_Q], (plain.top_Q == own_Q)[asked_Q]),
        error=calibration_error(confidence_Q, right_Q),
        error_by_chance=chance_error(confidence_Q),
        coverage=float(sure_Q.mean()),
        sure_accuracy=float(right_Q[sure_Q].mean()) if sure_Q.any() else None,
        bins=reliability_bins(confidence_Q, right_Q),
    )
