"""Findings about single items: likely wrong labels, pictures that are there more than once, outliers."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from index.doctor.duplicates import Group
from index.doctor.examined import SHOWN, Examined
from index.doctor.findings import CONFLICT, DUPLICATE, MISLABELLED, OUTLIER, Finding
from index.doctor.outliers import find_outliers
from index.doctor.ranks_together import consistent_change
from index.doctor.suspicion import Suspicion
from index.evaluation_items import NONE


def mislabelled(examined: Examined, suspicions: dict[str, Suspicion]) -> list[Finding]:
    """Items whose label is likely wrong, at the finest rank at which it is; the surest first.

    Args:
        examined: the catalogue.
        suspicions: by rank, finest first.
    """
    told, found = set[int](), list[tuple[float, int, Finding]]()
    for rank, suspicion in suspicions.items():
        for row in suspicion.suspects():
            if row not in told:
                told.add(row)
                # Between ranks the surer one first; within a rank, of equally sure ones the more suspicious.
                found.append((-suspicion.confidence_Q[row], len(found), _mislabelled(examined, rank, suspicion, row)))
    return [finding for _, _, finding in sorted(found, key=lambda entry: entry[:2])]


def _mislabelled(examined: Examined, rank: str, suspicion: Suspicion, row: int) -> Finding:
    items, names = examined.items, examined.items.shown[rank]
    position = int(examined.neighbours.questions_Q[row])
    own, other = int(items.class_codes[rank][position]), int(suspicion.other_Q[row])
    to_set, to_unset = consistent_change(items.class_codes, position, rank, other, items.codes)
    item_id = items.ids[position]
    labels = {changed: items.classes[changed][code][0] for changed, code in to_set.items()}
    also = f", and takes its {', '.join(to_unset)} away, which cannot be of it" if to_unset else ""
    evidence = (
        ("nearest", examined.nearest_ids(row)),
        (f"nearest {names[other]}", examined.nearest_ids(row, rank, other)),
        (f"nearest {names[own]}", examined.nearest_ids(row, rank, own)),
    )
    return Finding(
        kind=MISLABELLED, rank=rank, labels=(names[own], names[other]), ids=(item_id,),
        text=f"{rank} is {names[own]}, its neighbours say {names[other]}{also}",
        confidence=round(float(suspicion.confidence_Q[row]), 3), evidence=evidence,
        command=examined.mending.relabel([item_id], labels, to_unset),
    )  # fmt: skip


def repeated(examined: Examined, groups: list[Group]) -> Iterator[Finding]:
    """Groups of items with one picture: under one label, or under labels that contradict each other."""
    for group in groups:
        rank = _contradicts(examined, group)
        yield _duplicate(examined, group) if rank is None else _conflict(examined, group, rank)


def _contradicts(examined: Examined, group: Group) -> str | None:
    """The finest rank at which items of a group have different labels."""
    for rank, codes in examined.items.codes.items():
        if len({int(code) for code in codes[list(group.positions)]} - {NONE}) > 1:
            return rank
    return None


def _duplicate(examined: Examined, group: Group) -> Finding:
    # What says most is kept; of equals the first.
    kept = max(group.positions, key=lambda position: len(examined.items.labels(position)))
    others = [position for position in group.positions if position != kept]
    ids = examined.ids([kept, *others])
    how = "the same file" if group.exact else "the same picture"
    return Finding(
        kind=DUPLICATE, ids=ids, labels=tuple(examined.items.labels(kept).values())[:1],
        text=f"{len(ids)} items are {how}; the first is kept", command=examined.mending.remove(ids[1:]),
        confidence=1.0 if group.exact else None,
    )  # fmt: skip


def _conflict(examined: Examined, group: Group, rank: str) -> Finding:
    items, codes = examined.items, examined.items.codes[rank]
    given = Counter(int(codes[position]) for position in group.positions if codes[position] != NONE)
    votes = _votes(examined, group, rank)
    best = max(given, key=lambda code: (votes[code], given[code], -code))
    right = [position for position in group.positions if codes[position] == best]
    wrong = [position for position in group.positions if codes[position] not in (best, NONE)]
    ids = examined.ids([*right, *wrong])
    names = [items.names[rank][code] for code in sorted(given, key=lambda code: code != best)]
    how = "one file has" if group.exact else "one picture has"
    why = (
        f"{votes[best]} of its neighbours say {names[0]}"
        if votes[best]
        else f"nothing but their number speaks for {names[0]}"
    )
    return Finding(
        kind=CONFLICT, rank=rank, labels=tuple(names), ids=ids, text=f"{how} {len(names)} labels of {rank}; {why}",
        command=examined.mending.relabel(examined.ids(wrong), items.labels(right[0])),
        confidence=1.0 if group.exact else None, evidence=(("nearest", _outside(examined, group)),),
    )  # fmt: skip


def _votes(examined: Examined, group: Group, rank: str) -> Counter[int]:
    """How many neighbours outside the group have each label."""
    votes: Counter[int] = Counter()
    for position in group.positions:
        if position in examined.row_of:
            others = examined.neighbours.positions_QK[examined.row_of[position]]
            others = others[~np.isin(others, [*group.positions, -1])]
            votes.update(int(code) for code in examined.items.codes[rank][others] if code != NONE)
    return votes


def _outside(examined: Examined, group: Group) -> tuple[str, ...]:
    row = next((examined.row_of[position] for position in group.positions if position in examined.row_of), None)
    inside = set(examined.ids(group.positions))
    return () if row is None else tuple(name for name in examined.nearest_ids(row) if name not in inside)[:SHOWN]


def outliers(examined: Examined) -> Iterator[Finding]:
    """Items that are far from everything, farthest first."""
    ranks = list(examined.items.codes)
    codes_Q = examined.items.class_codes[ranks[0]][examined.neighbours.questions_Q] if ranks else None
    rows, far_Q = find_outliers(examined.neighbours, codes_Q)
    for row in rows:
        position = int(examined.neighbours.questions_Q[row])
        item_id = examined.items.ids[position]
        labels = examined.items.labels(position)
        rank = next(iter(labels), None)
        yield Finding(
            kind=OUTLIER, rank=rank, labels=tuple(labels.values())[:1], ids=(item_id,),
            text=f"{far_Q[row]:.1f} deviations farther from its nearest items than others are; look whether it belongs",
            evidence=(("nearest", examined.nearest_ids(row)),), command=examined.mending.remove([item_id]),
        )  # fmt: skip
