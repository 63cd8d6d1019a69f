"""Which labels are one class: the name, and where a name stands under two others, the one above it too.

`alba` under Rosa and `alba` under Lilium are two species. A label that stands under one name only is one class, also
where some of its items do not say what is above them. Only ranks that the catalogue declares lie one above the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

ClassKey = tuple[str, str | None]  # the name, and what is above it where the name alone would not say
Homonyms = Mapping[str, frozenset[str]]


def ranks_above(declared: Sequence[str]) -> dict[str, str]:
    """The next coarser rank of each declared rank that has one."""
    return dict(pairwise(declared))


def coarser_ranks(declared: Sequence[str], rank: str) -> Sequence[str]:
    """The declared ranks above one, which may be none of them."""
    return declared[declared.index(rank) + 1 :] if rank in declared else ()


def find_homonyms(all_labels: Iterable[Mapping[str, str]], declared: Sequence[str]) -> Homonyms:
    """For each declared rank the names that stand under at least two names of the next one."""
    pairs = ranks_above(declared).items()
    parents: dict[str, dict[str, set[str]]] = {rank: {} for rank, _ in pairs}
    for labels in all_labels:
        for rank, above in pairs:
            if rank in labels and above in labels:
                parents[rank].setdefault(labels[rank], set()).add(labels[above])
    return {rank: frozenset(name for name, found in names.items() if len(found) > 1) for rank, names in parents.items()}


def shown_class(key: ClassKey) -> str:
    """A class as people read it: `alba`, or `alba (Rosa)` where the name alone would not say."""
    name, parent = key
    return name if parent is None else f"{name} ({parent})"


def class_key(labels: Mapping[str, str], rank: str, homonyms: Homonyms, above: Mapping[str, str]) -> ClassKey:
    """The class of an item at a rank that it has a label of."""
    name = labels[rank]
    return name, labels.get(above[rank]) if name in homonyms.get(rank, ()) else None
