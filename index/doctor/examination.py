"""The whole examination of a catalogue: its items are read, their neighbours found, and each kind of fault looked for.

Every judgement is one of the catalogue about itself, so it cannot see what all items share: a label that is wrong on
every item that has it is right here.
"""

import tempfile
import time
from collections.abc import Collection
from pathlib import Path

import numpy as np

from encoder.errors import CatalogueError
from index.catalogue import Catalogue
from index.doctor.duplicates import find_groups
from index.doctor.examined import Examined
from index.doctor.findings import (
    CONFLICT,
    CONFUSABLE,
    DUPLICATE,
    KINDS,
    MISLABELLED,
    OUTLIER,
    SMALL_LABEL,
    SPELLING,
    Diagnosis,
    Finding,
)
from index.doctor.item_findings import mislabelled, outliers, repeated
from index.doctor.items import read_doctor_items
from index.doctor.label_findings import confusable, small, spellings
from index.doctor.mending import Mending
from index.doctor.neighbours import nearest
from index.doctor.same_picture import Pictures
from index.doctor.suspicion import LEAST_TOLD_APART, suspect
from index.progress import CountedProgress
from index.vector_file import SnapshotDamagedError

NEIGHBOURS = 40
DEFAULT_SAMPLE = 100_000


def examine(
    catalogue: Catalogue,
    *,
    filter: str | None = None,
    kinds: Collection[str] = tuple(KINDS),
    sample: int = DEFAULT_SAMPLE,
    seed: int = 0,
    quiet: bool = False,
) -> Diagnosis:
    """Look for everything that is likely wrong. Nothing is written; what others write meanwhile may or may not count.

    Args:
        catalogue: to examine.
        filter: which items; None for all.
        kinds: what to look for.
        sample: look for the neighbours of not more items than this, drawn at random; 0 for all.
        seed: of the draw, and of the wrong labels that thresholds are fitted with.
        quiet: show no progress.

    Raises:
        FilterError: the filter cannot be read, or names a field that no item has.
        CatalogueError: the disk that holds temporary files gave back other bytes than were written.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lodisc-doctor-") as folder:
        items = read_doctor_items(catalogue, filter, Path(folder))
        members = items.distinct()
        drawn = np.random.default_rng(seed).permutation(members)
        asked = np.sort(drawn[:sample] if sample else drawn)
        try:
            with CountedProgress("examining", len(asked), quiet=quiet) as progress:
                neighbours = nearest(
                    items.vectors, asked, members, NEIGHBOURS, lambda num: progress.advance_to(progress.done + num)
                )
            row_of = {position: row for row, position in enumerate(asked.tolist())}
            examined = Examined(items, members, neighbours, Mending(catalogue.path), row_of)
            findings, notes = _findings(catalogue, examined, kinds, seed, quiet=quiet)
        except SnapshotDamagedError as error:
            raise CatalogueError(f"{error}; see whether the disk of temporary files is whole, and try again") from error
    if len(asked) < len(members):
        notes.insert(0, f"the neighbours of {len(asked)} items were looked for, a sample of {len(members)}")
    order = list(KINDS)
    return Diagnosis(
        num_items=len(items.ids), num_asked=len(asked),
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.kind))), notes=tuple(notes),
        seconds=time.monotonic() - started,
    )  # fmt: skip


def _findings(
    catalogue: Catalogue, examined: Examined, kinds: Collection[str], seed: int, *, quiet: bool
) -> tuple[list[Finding], list[str]]:
    """What is found of each kind, the strongest of a kind first, and what could not be judged."""
    findings, notes = list[Finding](), list[str]()
    items = examined.items
    if not items.codes:
        notes.append("no item has a label: only the pictures were examined")
    if MISLABELLED in kinds:
        findings += _mislabelled(examined, seed, notes)
    if {DUPLICATE, CONFLICT} & set(kinds):
        findings += [finding for finding in _repeated(catalogue, examined, notes, quiet=quiet) if finding.kind in kinds]
    for rank in items.codes:
        if SPELLING in kinds:
            findings += spellings(examined, rank)
        if CONFUSABLE in kinds:
            findings += confusable(examined, rank)
        if SMALL_LABEL in kinds:
            findings += small(examined, rank)
    if OUTLIER in kinds:
        findings += outliers(examined)
    return findings, notes


def _mislabelled(examined: Examined, seed: int, notes: list[str]) -> list[Finding]:
    items, suspicions = examined.items, {}
    for rank, codes in items.class_codes.items():
        counts = examined.num_of_label(rank)
        if (counts > 0).sum() < 2:
            notes.append(f"all items have the same {rank}: none can be said to be wrong")
        elif counts.max() < 2:
            notes.append(f"no {rank} has two items: none can be said to be wrong")
        else:
            suspicions[rank] = suspect(items.vectors, examined.neighbours, codes, examined.members, seed)
            if suspicions[rank].told_apart < LEAST_TOLD_APART:
                notes.append(
                    f"only {suspicions[rank].told_apart:.0%} of the items are nearest to one of their own {rank}: this "
                    "encoder does not tell them apart well enough to say which labels are wrong"
                )
    return mislabelled(examined, suspicions)


def _repeated(catalogue: Catalogue, examined: Examined, notes: list[str], *, quiet: bool) -> list[Finding]:
    pictures, ids = Pictures(catalogue), examined.items.ids
    with CountedProgress("comparing pictures", None, quiet=quiet) as progress:
        groups = find_groups(
            examined.items.first_N,
            examined.neighbours,
            lambda one, other: pictures.same(ids[one], ids[other]),
            progress.advance_to,
        )
    if pictures.without:
        notes.append(
            f"{len(pictures.without)} items that lie close to another have no thumbnail, so that only the same file "
            f"can be seen; lodisc index verify {examined.mending.catalogue} --repair makes it of the picture"
        )
    return list(repeated(examined, groups))
