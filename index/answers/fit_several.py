"""What a vote of several photographs is worth: photographs that agree say more than their shares alone.

The pooled share of photographs is no larger than that of one, but right more often, so that the map of one photograph
promises too little. Questions are made of items of one class, asked for the others without the whole question; they are
voted on by the functions that answer searches.
"""

# Q questions of one picture, G questions of several, K neighbours.

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from index.answers.calibration import Calibration, SeveralCalibration
from index.answers.classes import Classes
from index.answers.fusion import photo_weights, pooled
from index.answers.leave_one_out import Questions
from index.answers.logistic import fit_logistic
from index.answers.reliability import calibration_error, chance_error
from index.answers.shares import PhotoVote, log_odds, photo_vote
from index.evaluation_items import NONE, EvaluatedItems
from index.items import Match

NUMBERS = (2, 3)  # of photographs; the map of the last holds for more
MIN_GROUPS = 50
MAX_GROUPS = 500
NUM_FOLDS = 5


def with_several(
    calibration: Calibration, items: EvaluatedItems, classes: Classes, questions: Questions, seed: int
) -> Calibration:
    """A calibration with the maps of several photographs, of each rank and number that has MIN_GROUPS questions."""
    several: dict[str, dict[int, SeveralCalibration]] = {rank: {} for rank in calibration.ranks}
    for num in NUMBERS:
        generator = np.random.default_rng(seed)
        groups = _groups(questions.class_Q, num, generator)[:MAX_GROUPS]
        if len(groups) < MIN_GROUPS:
            continue
        votes = [_vote(group, items, classes, questions, calibration, generator) for group in groups]
        for rank in calibration.ranks:
            found = _fitted(rank, groups, votes, classes, questions, calibration)
            if found is not None:
                several[rank][num] = found
    ranks = {rank: replace(one, several=several[rank]) for rank, one in calibration.ranks.items()}
    return replace(calibration, ranks=ranks)


def _groups(class_Q: NDArray[np.int64], num: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """Questions of one class, so many at a time, none twice; in no order."""
    groups = []
    for number in np.unique(class_Q):
        of_class = generator.permutation(np.flatnonzero(class_Q == number))
        groups += [of_class[start : start + num] for start in range(0, len(of_class) - num + 1, num)]
    return [groups[place] for place in generator.permutation(len(groups))]


def _vote(
    group: NDArray[np.int64],
    items: EvaluatedItems,
    classes: Classes,
    questions: Questions,
    calibration: Calibration,
    generator: np.random.Generator,
) -> PhotoVote | None:
    """The pooled vote of a question, none of whose photographs may find another; None if one finds nothing."""
    out_N = _left_out(group, classes, questions, generator)
    votes = []
    for photograph in group.tolist():
        found = zip(
            questions.known.positions_QK[photograph].tolist(),
            questions.known.cosines_QK[photograph].tolist(),
            strict=True,
        )
        neighbours = [
            Match(str(position), cosine, _labels(items, position), {})
            for position, cosine in found
            if position != NONE and not out_N[position]
        ]
        if not neighbours:
            return None
        # What was left out was in the way of other neighbours, which a search would have found: none are lacking.
        voters = replace(calibration, k=min(calibration.k, len(neighbours)))
        vote = photo_vote(neighbours, classes.declared, classes.homonyms, voters)
        if vote is None:
            return None
        votes.append(vote)
    return pooled(votes, photo_weights(votes))


def _left_out(
    group: NDArray[np.int64], classes: Classes, questions: Questions, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """The items that a question may not find, shape (N,): its own, and as large a part of each other class.

    Otherwise its class would be the smaller for it and lose to a class that is like it: on the demo's species the vote
    of two photographs would be right no more often than that of one.
    """
    own = questions.item_Q[group]
    finest = questions.finest_Q[group[0]]
    if finest == NONE:  # pictures that are no items
        return np.zeros(len(classes.finest_N), np.bool_)
    part = (len(group) - 1) / max(1.0, classes.size_by_finest[finest] - 1)
    out_N: NDArray[np.bool_] = (generator.random(len(classes.finest_N)) < part) & (classes.finest_N != finest)
    out_N[own] = True
    return out_N


def _labels(items: EvaluatedItems, position: int) -> dict[str, str]:
    return {
        rank: items.names[rank][code]
        for rank, codes_N in items.codes.items()
        if (code := int(codes_N[position])) != NONE
    }


def _fitted(
    rank: str,
    groups: Sequence[NDArray[np.int64]],
    votes: Sequence[PhotoVote | None],
    classes: Classes,
    questions: Questions,
    calibration: Calibration,
) -> SeveralCalibration | None:
    """The map of one rank; None where there are too few questions."""
    size = np.bincount(classes.codes[rank][classes.codes[rank] != NONE], minlength=len(classes.keys[rank]))
    features, outcomes = [], []
    for group, vote in zip(groups, votes, strict=True):
        own = set(questions.own[rank][group].tolist())
        # Somebody else has to have its label, or the answer cannot be right.
        if len(own) > 1 or NONE in own or size[min(own)] <= (questions.item_Q[group] != NONE).sum():
            continue
        if vote is None or rank not in vote.shares:
            continue
        key, share = next(iter(vote.shares[rank].items()))
        features.append((log_odds(share, calibration.k), vote.first))
        outcomes.append(classes.keys[rank].get(key) in own)
    if len(outcomes) < MIN_GROUPS:
        return None
    features_GF, right_G = np.array(features, np.float64), np.array(outcomes, np.bool_)
    confidence_G, fold_G = np.zeros(len(right_G)), np.arange(len(right_G)) % NUM_FOLDS
    for fold in range(NUM_FOLDS):
        inside_G = fold_G == fold
        confidence_G[inside_G] = fit_logistic(features_GF[~inside_G], right_G[~inside_G]).bulk(features_GF[inside_G])
    return SeveralCalibration(
        map=fit_logistic(features_GF, right_G),
        num_questions=len(right_G),
        accuracy=float(right_G.mean()),
        error_before=calibration_error(calibration.ranks[rank].map.bulk(features_GF), right_G),
        error=calibration_error(confidence_G, right_G),
        error_by_chance=chance_error(confidence_G),
    )
