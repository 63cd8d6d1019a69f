"""Findings about labels: spellings, pairs that cannot be told apart, too few items."""

from collections.abc import Iterator, Sequence

import numpy as np

from index.doctor.confusable_labels import find_pairs
from index.doctor.examined import SHOWN, Examined
from index.doctor.findings import CONFUSABLE, SMALL_LABEL, SPELLING, Finding
from index.doctor.small_labels import how_many_do
from index.doctor.spelling import find_spellings

MORE = "more-pictures"  # the folder that a person is asked to fill


def spellings(examined: Examined, rank: str) -> Iterator[Finding]:
    """Labels that differ only in how they are written."""
    codes, names = examined.items.codes[rank], examined.items.names[rank]
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    for kept, *others in find_spellings(dict(zip(names, counts.tolist(), strict=True))):
        shown = tuple(name for one in (kept, *others) for name in _some_of(examined, rank, names.index(one), 1))
        yield Finding(
            kind=SPELLING, rank=rank, labels=(kept, *others), ids=shown,
            text=f"{' and '.join((kept, *others))} are one {rank}, written differently",
            command=examined.mending.rename(rank, others, kept),
        )  # fmt: skip


def confusable(examined: Examined, rank: str) -> Iterator[Finding]:
    """Pairs of labels that cannot be told apart, those at chance first."""
    names, counts = examined.items.names[rank], examined.num_of_label(rank)
    for pair in find_pairs(examined.neighbours, examined.items.codes[rank], counts):
        kept, other = (names[code] for code in pair.codes)
        mistaken = pair.questions[:SHOWN]
        first = examined.neighbours.positions_QK[list(mistaken), 0].tolist()
        yield Finding(
            kind=CONFUSABLE, rank=rank, labels=(kept, other),
            ids=examined.ids(examined.neighbours.questions_Q[list(mistaken)].tolist()),
            text=f"{rank} {kept} and {other} are each other's neighbours as if by chance (separation "
            f"{pair.separation:.2f} of 1): make them one label if they are one thing; else this encoder is no help",
            evidence=(("their nearest items, of the other label", examined.ids(first)),),
            command=examined.mending.rename(rank, [other], kept),
        )  # fmt: skip


def small(examined: Examined, rank: str, folders: Sequence[str]) -> Iterator[Finding]:
    """Labels with too few items, those with the fewest first.

    Args:
        examined: the catalogue.
        rank: of the labels.
        folders: the ranks that folders of pictures stand for, finest first.
    """
    names, counts = examined.items.names[rank], examined.num_of_label(rank)
    enough = how_many_do(examined.neighbours, examined.items.codes[rank], counts)
    for code in sorted(np.flatnonzero((counts > 0) & (counts < enough.num)).tolist(), key=lambda code: counts[code]):
        num = int(counts[code])
        expected = ""
        if enough.rank_1 is not None and num > 1:
            expected = (
                f" (rank-1 of {enough.rank_1[num]:.2f} is expected with {num}, {enough.rank_1[enough.num]:.2f} then)"
            )
        yield Finding(
            kind=SMALL_LABEL, rank=rank, labels=(names[code],), ids=_some_of(examined, rank, code, SHOWN),
            text=f"{num} pictures of the {rank} {names[code]}, {enough.num} would do{expected}: put {enough.num - num} "
            f"more, under new names, into {MORE}/{_folder(examined, rank, code, folders)}",
            command=examined.mending.add(MORE),
        )  # fmt: skip


def _folder(examined: Examined, rank: str, code: int, folders: Sequence[str]) -> str:
    """Where a source folder has the pictures of a label: below its coarser labels."""
    position = int(np.flatnonzero(examined.items.codes[rank] == code)[0])
    labels = examined.items.labels(position)
    below = folders[folders.index(rank) :] if rank in folders else [rank]
    return "".join(f"{labels[one]}/" for one in reversed(below) if one in labels)


def _some_of(examined: Examined, rank: str, code: int, num: int) -> tuple[str, ...]:
    positions = np.flatnonzero(examined.items.codes[rank] == code)
    return examined.ids(positions[:num].tolist())
