"""Findings about labels: spellings, pairs that cannot be told apart, too few items."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from index.answers.lineages import coarser_ranks, ranks_above
from index.doctor.confusable_labels import find_pairs
from index.doctor.examined import SHOWN, Examined
from index.doctor.findings import CONFUSABLE, SMALL_LABEL, SPELLING, Finding
from index.doctor.items import DoctorItems
from index.doctor.ranks_together import what_follows
from index.doctor.small_labels import how_many_do
from index.doctor.source_folder import folder_of
from index.doctor.spelling import find_spellings
from index.evaluation_items import NONE
from index.sources.picture import DEFAULT_RANKS

MORE = "more-pictures"  # the folder that a person is asked to fill


def spellings(examined: Examined, rank: str) -> Iterator[Finding]:
    """Labels that differ only in how they are written."""
    codes, names = examined.items.codes[rank], examined.items.names[rank]
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    for kept, *others in find_spellings(dict(zip(names, counts.tolist(), strict=True))):
        shown = tuple(name for one in (kept, *others) for name in _some_of(examined, codes, names.index(one), 1))
        yield Finding(
            kind=SPELLING, rank=rank, labels=(kept, *others), ids=shown,
            text=f"{' and '.join((kept, *others))} are one {rank}, written differently",
            command=examined.mending.rename(rank, others, {rank: kept}),
        )  # fmt: skip


def confusable(examined: Examined, rank: str) -> Iterator[Finding]:
    """Pairs of labels that cannot be told apart, those at chance first."""
    names, counts = examined.items.shown[rank], examined.num_of_label(rank)
    for pair in find_pairs(examined.neighbours, examined.items.class_codes[rank], counts):
        kept, other = (names[code] for code in pair.codes)
        mistaken = pair.questions[:SHOWN]
        first = examined.neighbours.positions_QK[list(mistaken), 0].tolist()
        yield Finding(
            kind=CONFUSABLE, rank=rank, labels=(kept, other),
            ids=examined.ids(examined.neighbours.questions_Q[list(mistaken)].tolist()),
            text=f"{rank} {kept} and {other} are each other's neighbours as if by chance (separation "
            f"{pair.separation:.2f} of 1): make them one label if they are one thing; else this encoder is no help",
            evidence=(("their nearest items, of the other label", examined.ids(first)),),
            command=_merging(examined, rank, *pair.codes),
        )  # fmt: skip


def _merging(examined: Examined, rank: str, kept: int, other: int) -> str:
    """The command that makes one label of two: the items of the other one are under what the kept one is under."""
    items, names = examined.items, examined.items.classes[rank]
    homonyms = items.homonyms.get(rank, frozenset())
    if names[kept][0] in homonyms and names[kept][1] is None:
        kept, other = other, kept  # under nothing, its name would be one more label below the other's parent
    labels = {rank: names[kept][0]}
    for coarser in coarser_ranks(items.ranks or DEFAULT_RANKS, rank):
        if coarser in items.class_codes:
            labels |= _made_one(items, rank, coarser, kept, other)
    above, name = ranks_above(items.ranks).get(rank), names[other][0]
    if above is None or name not in homonyms:
        return examined.mending.rename(rank, [name], labels)
    return examined.mending.rename(rank, [name], labels, under=(above, names[other][1]))


def _made_one(items: DoctorItems, rank: str, coarser: str, kept: int, other: int) -> dict[str, str]:
    """What the other label's items need at a coarser rank to have what most of the kept one's have."""
    codes_N, coarser_N = items.class_codes[rank], items.class_codes[coarser]
    of_kept = coarser_N[(codes_N == kept) & (coarser_N != NONE)]
    if not len(of_kept):
        return {}
    most = int(np.bincount(of_kept).argmax())
    return {coarser: items.classes[coarser][most][0]} if (coarser_N[codes_N == other] != most).any() else {}


def small(examined: Examined, rank: str) -> Iterator[Finding]:
    """Labels with too few items, those with the fewest first."""
    names, counts = examined.items.shown[rank], examined.num_of_label(rank)
    codes_N = examined.items.class_codes[rank]
    enough = how_many_do(examined.neighbours, codes_N, counts)
    for code in sorted(np.flatnonzero((counts > 0) & (counts < enough.num)).tolist(), key=lambda code: counts[code]):
        num = int(counts[code])
        expected = ""
        if enough.rank_1 is not None and num > 1:
            expected = (
                f" (rank-1 of {enough.rank_1[num]:.2f} is expected with {num}, {enough.rank_1[enough.num]:.2f} then)"
            )
        where, command = _where_more_go(examined, rank, code)
        yield Finding(
            kind=SMALL_LABEL, rank=rank, labels=(names[code],), ids=_some_of(examined, codes_N, code, SHOWN),
            text=f"{num} pictures of the {rank} {names[code]}, {enough.num} would do{expected}: put {enough.num - num} "
            f"more{where}", command=command,
        )  # fmt: skip


def _where_more_go(examined: Examined, rank: str, code: int) -> tuple[str, str]:
    """Where more pictures of a label are to be put, and the command that takes them in."""
    items = examined.items
    labels = items.labels(int(np.flatnonzero(items.class_codes[rank] == code)[0]))
    for coarser, follows in what_follows(items.class_codes, rank, code).items():
        labels[coarser] = items.classes[coarser][follows][0]
    folders = folder_of(labels, rank, items.ranks)
    if folders is None:
        table = f"{MORE}.csv"
        return f" into {table}, with columns path and {rank}", examined.mending.add(table, rank)
    to_name = [folder for folder in folders if folder not in labels.values()]
    own = f", with their own names for {' and '.join(to_name)}" if to_name else ""
    return f", under new names, into {MORE}/{'/'.join(folders)}/{own}", examined.mending.add(MORE)


def _some_of(examined: Examined, codes_N: NDArray[np.int32], code: int, num: int) -> tuple[str, ...]:
    positions = np.flatnonzero(codes_N == code)
    return examined.ids(positions[:num].tolist())
