"""Label ranks: species, genus, family, or model, make. Named once for a catalogue, the finest first, and kept so.

An item need not have all of them. One that has others than the catalogue names keeps them, after those.
"""

import itertools
from collections.abc import Mapping, Sequence

from encoder.errors import ConfigError
from index.filter_expression import ID
from index.filter_parser import RESERVED

# `id` and `path` are columns of their own in every table of pictures; the rest are words of a filter.
NO_RANKS = frozenset({ID, "path", *RESERVED})


def read_ranks(text: str) -> tuple[str, ...]:
    """The ranks of `--ranks species,genus`.

    Raises:
        ConfigError: a name is empty, given twice, or means something else already.
    """
    ranks = tuple(name.strip() for name in text.split(","))
    if not all(name and name.isprintable() for name in ranks) or len(set(ranks)) < len(ranks):
        raise ConfigError(f"--ranks is {text!r}, expected different names separated by commas, finest first")
    taken = [name for name in ranks if name.lower() in NO_RANKS]
    if taken:
        raise ConfigError(
            f"--ranks names a rank {taken[0]}, which is "
            + ("a column of its own" if taken[0].lower() in (ID, "path") else "a word of filters")
            + "; choose another name"
        )
    return ranks


def in_order(labels: Mapping[str, str], ranks: Sequence[str]) -> dict[str, str]:
    """Labels with the ranks of the catalogue first, in its order, so that the first one is the finest."""
    first = {rank: labels[rank] for rank in ranks if rank in labels}
    return first | {rank: name for rank, name in labels.items() if rank not in first}


def with_labels(known: Mapping[str, str], labels: Mapping[str, str], unset: frozenset[str]) -> dict[str, str]:
    """The labels of an item once it has been given some and others were taken away."""
    return {rank: name for rank, name in {**known, **labels}.items() if rank not in unset}


def folder_ranks(num_folders: int, ranks: Sequence[str], unnamed: Sequence[str]) -> list[str]:
    """What the folders above a picture are called, from the innermost out.

    A picture that lies higher than others, in `Vanessa/` where they are in `Vanessa/atalanta/`, has no species: its
    folder is a genus for all. So where ranks are named, fewer folders than ranks are the coarsest of them.

    Args:
        num_folders: above the picture.
        ranks: as named, finest first.
        unnamed: what further ones are called.
    """
    levels = (f"level_{number}" for number in itertools.count(max(len(ranks), len(unnamed)) + 1))
    further = (name for name in itertools.chain(unnamed[len(ranks) :], levels) if name not in ranks)
    return list(itertools.islice(itertools.chain(ranks[max(0, len(ranks) - num_folders) :], further), num_folders))
