"""A search for one thing, shown on one photograph or several: its matches, and the neighbours that vote on it.

The vote asks for as many neighbours as were calibrated, however few matches are wanted, and for more where copies of
one picture are among them: a calibration has left copies out too.
"""

# N photographs, D embedding dim.

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.answers.calibration import Calibration
from index.answers.fusion import fuse, photo_weights
from index.answers.lineages import find_homonyms
from index.answers.shares import num_voters, photo_vote, without_copies
from index.catalogue import Catalogue
from index.items import Match

MOST_COPIES = 8  # of every neighbour, that a search makes up for


@dataclass(frozen=True)
class Asked:
    """What a search found.

    Attributes:
        matches: the nearest items of the one query that the photographs make, best first.
        photographs: of each photograph the neighbours that vote, nearest first.
        weights: what each photograph counts; they sum to 1.
        filtered: whether only some items could be found.
    """

    matches: list[Match]
    photographs: list[list[Match]]
    weights: list[float]
    filtered: bool = False


def ask(
    catalogue: Catalogue,
    photographs_ND: NDArray[np.float32],
    *,
    k: int,
    exclude_ids: Iterable[str] = (),
    filter: str | None = None,
    calibration: Calibration | None = None,
) -> Asked:
    """Search for one thing.

    Args:
        catalogue: to search.
        photographs_ND: unit vectors, float32, shape (N, D), N at least 1.
        k: matches wanted.
        exclude_ids: items that may not be found.
        filter: which items may be found; None for all.
        calibration: of the catalogue, if it has one.

    Raises:
        FilterError: the filter cannot be read, or names a field that no item has.
        InputError: the photographs cancel out.
    """
    unwanted = tuple(exclude_ids)
    voters = num_voters(calibration)
    if len(photographs_ND) == 1:
        found = _neighbours(catalogue, photographs_ND, max(k, voters), voters, unwanted, filter)[0]
        return Asked(found[:k], [without_copies(found)[:voters]], [1.0], filter is not None)
    neighbours = _neighbours(catalogue, photographs_ND, voters, voters, unwanted, filter)
    photographs = [without_copies(found)[:voters] for found in neighbours]
    weights = _weights(photographs, catalogue.ranks, calibration)
    query_D = fuse(photographs_ND, weights)
    matches = catalogue.search(query_D[np.newaxis], k=k, exclude_ids=unwanted, filter=filter)[0]
    return Asked(matches, photographs, weights, filter is not None)


def _neighbours(
    catalogue: Catalogue,
    photographs_ND: NDArray[np.float32],
    k: int,
    voters: int,
    unwanted: Sequence[str],
    filter: str | None,
) -> list[list[Match]]:
    """The k nearest items of each photograph, and more where that gives too few voters because of copies."""
    found = catalogue.search(photographs_ND, k=k, exclude_ids=unwanted, filter=filter)
    most = MOST_COPIES * voters
    while k < most and any(len(one) == k and len(without_copies(one)) < voters for one in found):
        k = min(2 * k, most)
        found = catalogue.search(photographs_ND, k=k, exclude_ids=unwanted, filter=filter)
    return found


def _weights(
    photographs: Sequence[Sequence[Match]], ranks: Sequence[str], calibration: Calibration | None
) -> list[float]:
    """What each photograph counts; all the same where nothing is found."""
    homonyms = find_homonyms((match.labels for found in photographs for match in found), ranks)
    votes = [photo_vote(found, ranks, homonyms, calibration) for found in photographs]
    found_votes = [vote for vote in votes if vote is not None]
    if len(found_votes) < len(photographs):
        return [1 / len(photographs)] * len(photographs)
    return photo_weights(found_votes)
