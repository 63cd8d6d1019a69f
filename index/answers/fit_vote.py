"""Choosing how neighbours vote: k, temperature and class exponent, by the likelihood of the questions' own labels.

Every combination of a grid is tried on all questions at once. The likelihood of a label is its share of the vote, mixed
with a little of every class, so that a question whose label no neighbour has costs much but not everything.
"""

# Q questions, K neighbours, M numbers of neighbours that are tried, F folds.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.answers.classes import Classes
from index.answers.leave_one_out import Neighbours, Questions
from index.answers.shares import GAP_PLACE, UNCALIBRATED_K
from index.evaluation_items import NONE

MAX_K = 50
KS = (5, 8, 10, 15, 20, 30, 50)  # fewer would show no rivals
TEMPERATURES = tuple(float(factor) for factor in np.geomspace(0.1, 10, 13))  # in units of the usual spread of cosines
EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
MIXTURES = (0.01, 0.03, 0.1, 0.3)
LEAST_SPREAD = 1e-5  # the cosine of half-precision vectors is not finer
WORTH = 0.01  # log-likelihood of a question; more neighbours that gain less are not worth their search
CHUNK = 256


@dataclass(frozen=True)
class VoteSettings:
    """How neighbours vote; see `index.answers.calibration`."""

    k: int
    temperature: float
    class_exponent: float
    far_cosine: float


@dataclass(frozen=True)
class BulkVote:
    """The first label of each question's vote at one rank.

    Attributes:
        top_Q: its class, NONE where no neighbour has a label.
        place_Q: which neighbour is the first of it.
        share_Q: its share.
    """

    top_Q: NDArray[np.int64]
    place_Q: NDArray[np.int64]
    share_Q: NDArray[np.float64]


def choose_settings(
    classes: Classes, questions: Questions, fold_Q: NDArray[np.int64], num_folds: int
) -> list[VoteSettings]:
    """The best settings of all questions, followed by those of the questions outside each fold.

    Args:
        classes: of the items.
        questions: to be likely; each has a label at some rank that another item has.
        fold_Q: of each question.
        num_folds: how many there are.
    """
    found = questions.known
    lacking_QK = found.positions_QK == NONE
    far_K = _far_cosines(found)
    # As many as nearly all questions have: k beyond that could not be told from a smaller one.
    enough = int((~lacking_QK).sum(axis=1).min())
    ks = [k for k in KS if k <= max(enough, KS[0])]
    has_vote_QK = lacking_QK | (_codes(classes.finest_N, found.positions_QK) != NONE)
    cosines_QK = np.where(lacking_QK, np.minimum(far_K, _last_found(found)[:, None]), found.cosines_QK)
    spread = max(float(np.median(found.cosines_QK[:, 0] - _at(found, GAP_PLACE))), LEAST_SPREAD)
    log_sizes_QK = np.log(sizes_of_neighbours(classes, questions, found))
    columns_M = np.array(ks) - 1
    totals: dict[tuple[int, float, float], NDArray[np.float64]] = {}
    for factor in TEMPERATURES:
        temperature = spread * factor
        near_QK = (cosines_QK - cosines_QK[:, :1]) / temperature
        for exponent in EXPONENTS:
            weights_QK = np.exp(near_QK - exponent * log_sizes_QK) * has_vote_QK
            likelihood_QM = np.zeros((len(fold_Q), len(ks)))
            for rank, codes_N in classes.codes.items():
                shares_QM, asked_Q = _own_shares(
                    weights_QK, codes_N, questions.own[rank], found.positions_QK, columns_M
                )
                if asked_Q.any():
                    likelihood_QM[asked_Q] += _best_mixture(shares_QM[asked_Q], len(classes.keys[rank]))
            for column, k in enumerate(ks):
                totals[k, temperature, exponent] = _sums(fold_Q, likelihood_QM[:, column], num_folds)
    combinations = list(totals)
    by_fold = np.stack([totals[one] for one in combinations])  # combinations x F
    whole = by_fold.sum(axis=1)
    numbers = np.bincount(fold_Q, minlength=num_folds)
    chosen = [_cheapest(combinations, whole / len(fold_Q))]
    for fold in range(num_folds):
        rest = max(1, len(fold_Q) - int(numbers[fold]))
        chosen.append(_cheapest(combinations, (whole - by_fold[:, fold]) / rest))
    return [VoteSettings(k, temperature, exponent, float(far_K[k - 1])) for k, temperature, exponent in chosen]


def bulk_vote(classes: Classes, questions: Questions, found: Neighbours, rank: str, settings: VoteSettings) -> BulkVote:
    """The vote that `index.answers.shares` would take, for all questions."""
    k = settings.k
    positions_QK, cosines_QK = found.positions_QK[:, :k], found.cosines_QK[:, :k]
    lacking_QK = positions_QK == NONE
    far_Q = np.minimum(_last_found(found, k), settings.far_cosine)
    full_QK = np.where(lacking_QK, far_Q[:, None], cosines_QK)
    sizes_QK = sizes_of_neighbours(classes, questions, found)[:, :k]
    weights_QK = np.exp((full_QK - full_QK[:, :1]) / settings.temperature) * sizes_QK**-settings.class_exponent
    has_vote_QK = lacking_QK | (_codes(classes.finest_N, positions_QK) != NONE)
    return _top(np.where(has_vote_QK, weights_QK, 0.0), _codes(classes.codes[rank], positions_QK))


def plain_vote(classes: Classes, questions: Questions, rank: str) -> BulkVote:
    """The vote without a calibration."""
    positions_QK = questions.known.positions_QK[:, :UNCALIBRATED_K]
    weights_QK = np.maximum(questions.known.cosines_QK[:, :UNCALIBRATED_K], 0.0)
    weights_QK = np.where(_codes(classes.finest_N, positions_QK) != NONE, weights_QK, 0.0)
    return _top(weights_QK, _codes(classes.codes[rank], positions_QK))


def sizes_of_neighbours(classes: Classes, questions: Questions, found: Neighbours) -> NDArray[np.float64]:
    """The number of items with the finest label of each neighbour, the question itself not counted; at least 1."""
    finest_QK = _codes(classes.finest_N, found.positions_QK)
    typical = typical_size(classes)
    sizes_QK = np.where(finest_QK == NONE, typical, np.append(classes.size_by_finest, typical)[finest_QK])
    same_QK = (finest_QK == questions.finest_Q[:, None]) & (finest_QK != NONE)
    return np.asarray(np.maximum(sizes_QK - same_QK, 1.0))


def typical_size(classes: Classes) -> float:
    """The median size of a class."""
    ordered = np.sort(classes.size_by_finest)
    return float(ordered[len(ordered) // 2]) if len(ordered) else 1.0


def _top(weights_QK: NDArray[np.float64], codes_QK: NDArray[np.int64]) -> BulkVote:
    """The class with the greatest sum of weights, the nearer of two that have the same."""
    named_QK = codes_QK != NONE
    voting_QK = np.where(named_QK, weights_QK, 0.0)
    total_Q = weights_QK.sum(axis=1)
    place_Q, share_Q = np.zeros(len(codes_QK), np.int64), np.zeros(len(codes_QK))
    for start in range(0, len(codes_QK), CHUNK):
        part = slice(start, start + CHUNK)
        same_CKK = codes_QK[part, :, None] == codes_QK[part, None, :]
        sums_CK = np.einsum("qij,qi->qj", same_CKK, voting_QK[part])
        sums_CK[~named_QK[part]] = -1.0
        place_Q[part] = sums_CK.argmax(axis=1)
        share_Q[part] = sums_CK.max(axis=1)
    rows = np.arange(len(codes_QK))
    share_Q = np.divide(np.maximum(share_Q, 0.0), total_Q, out=np.zeros_like(share_Q), where=total_Q > 0)
    return BulkVote(codes_QK[rows, place_Q], place_Q, share_Q)


def _cheapest(
    combinations: list[tuple[int, float, float]], likelihoods: NDArray[np.float64]
) -> tuple[int, float, float]:
    """The likeliest combination of the smallest k that is hardly worse than the best."""
    good = likelihoods >= likelihoods.max() - WORTH
    k = min(one[0] for one, is_good in zip(combinations, good, strict=True) if is_good)
    of_k = np.array([one[0] == k for one in combinations])
    return combinations[int(np.where(of_k, likelihoods, -np.inf).argmax())]


def _sums(group_Q: NDArray[np.int64], values_Q: NDArray[np.float64], num_groups: int) -> NDArray[np.float64]:
    """The sum of the values of each group."""
    return np.asarray(np.bincount(group_Q, weights=values_Q, minlength=num_groups), np.float64)


def _own_shares(
    weights_QK: NDArray[np.float64],
    codes_N: NDArray[np.int64],
    own_Q: NDArray[np.int64],
    positions_QK: NDArray[np.int64],
    columns_M: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The share of each question's own class for every number of neighbours, and which questions have one."""
    codes_QK = _codes(codes_N, positions_QK)
    own_QM = np.cumsum(weights_QK * (codes_QK == own_Q[:, None]), axis=1)[:, columns_M]
    all_QM = np.cumsum(weights_QK, axis=1)[:, columns_M]
    asked_Q = own_Q != NONE
    return np.divide(own_QM, all_QM, out=np.zeros_like(own_QM), where=all_QM > 0), asked_Q


def _best_mixture(shares_QM: NDArray[np.float64], num_classes: int) -> NDArray[np.float64]:
    """The log-likelihood of each question, with the mixture that suits them all best at each number of neighbours."""
    tried = np.stack([np.log((1 - part) * shares_QM + part / num_classes) for part in MIXTURES])
    best_M = tried.mean(axis=1).argmax(axis=0)
    return np.asarray(np.take_along_axis(tried, best_M[None, None, :], axis=0)[0])


def _far_cosines(found: Neighbours) -> NDArray[np.float64]:
    """The median cosine of the first, second, ... neighbour, of the questions that have one."""
    far_K = np.zeros(found.cosines_QK.shape[1])
    last = 1.0
    for column, cosines_Q in enumerate(found.cosines_QK.T):
        there_Q = cosines_Q[cosines_Q > -np.inf]
        last = far_K[column] = float(np.median(there_Q)) if len(there_Q) else last
    return far_K


def _last_found(found: Neighbours, k: int | None = None) -> NDArray[np.float64]:
    return _at(found, found.cosines_QK.shape[1] if k is None else k)


def _at(found: Neighbours, place: int) -> NDArray[np.float64]:
    """The cosine of the neighbour at a place, or of the last one there is, -1 without any; shape (Q,)."""
    num_Q = (found.positions_QK[:, :place] != NONE).sum(axis=1)
    return np.where(num_Q > 0, found.cosines_QK[np.arange(len(num_Q)), np.maximum(num_Q - 1, 0)], -1.0)


def _codes(codes_N: NDArray[np.int64], positions_QK: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of each neighbour, NONE for those that lack."""
    if not len(codes_N):
        return np.full_like(positions_QK, NONE)
    return np.asarray(np.where(positions_QK == NONE, NONE, codes_N[positions_QK]))
