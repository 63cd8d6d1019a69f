"""What the pictures are called, at one rank or several: model and make, or species and genus.

Ranks come finest first and nest: a picture that has a label at one rank has one at every coarser rank. From
sub-folders, `make/model/7.jpg` has the labels `make/model` and `make`, and `make/8.jpg` has the coarse one alone.
"""

# N pictures, R ranks that the loss reads.

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from encoder.errors import ConfigError


@dataclass(frozen=True)
class LabelRanks:
    """The labels of a set of pictures.

    Attributes:
        origin: where they were read, for a person.
        names: of the ranks, finest first; empty where no picture has a label.
        of: by the path of a picture relative to the data folder, one a rank; None where it has none.
    """

    origin: str
    names: tuple[str, ...]
    of: Mapping[str, tuple[str | None, ...]]


@dataclass(frozen=True)
class TrainingLabels:
    """The labels of the pictures that are trained on, as the loss reads them.

    Attributes:
        number_NR: number of the label at each rank that has a weight, finest first, int64; -1 for none.
        summary: one line for a person.
        digest: 16 hex digits, the same for the same labels of the same pictures.
    """

    number_NR: NDArray[np.int64]
    summary: str
    digest: str


def folder_ranks(paths: Sequence[str], origin: str) -> LabelRanks:
    """The labels that sub-folders give; there are as many ranks as the deepest picture has folders above it."""
    folders = {path: PurePosixPath(path).parent.parts for path in paths}
    depths = range(max((len(parts) for parts in folders.values()), default=0), 0, -1)
    labels = {
        path: tuple("/".join(parts[:depth]) if len(parts) >= depth else None for depth in depths)
        for path, parts in folders.items()
    }
    return LabelRanks(origin, tuple(f"folder depth {depth}" for depth in depths), labels)


def training_labels(ranks: LabelRanks, paths: Sequence[str], rank_weights: Sequence[float]) -> TrainingLabels:
    """Number the labels of the pictures to train on.

    Args:
        ranks: the labels of these pictures, and perhaps of others.
        paths: the pictures, relative to the data folder, in the order of the result.
        rank_weights: of the loss, finest first.

    Raises:
        ConfigError: there are fewer ranks than weights, or labels that the loss can learn nothing from.
    """
    if len(rank_weights) > len(ranks.names):
        found = f"{len(ranks.names)} ({', '.join(ranks.names)})" if ranks.names else "none"
        raise ConfigError(
            f"rank_weights has {len(rank_weights)} weights, but the ranks of labels in {ranks.origin} are {found}; "
            "give no more weights than ranks, sort the pictures into sub-folders, or name them in a --labels file"
        )
    number_NR = np.full((len(paths), len(rank_weights)), -1, dtype=np.int64)
    parts, teaches = [], False
    for rank, name in enumerate(ranks.names):
        labels = [ranks.of[path][rank] for path in paths]
        known = list(dict.fromkeys(label for label in labels if label is not None))
        num_without = labels.count(None)
        weight = rank_weights[rank] if rank < len(rank_weights) else 0.0
        parts.append(f"{len(known)} at {name} (weight {weight:g}, {num_without} of {len(paths)} pictures without)")
        if rank < len(rank_weights):
            number_of = {label: number for number, label in enumerate(known)}
            number_NR[:, rank] = [-1 if label is None else number_of[label] for label in labels]
        if weight > 0:
            _require_negatives(name, known, num_without, ranks.origin)
            teaches |= len(known) < len(paths) - num_without
    if not teaches:
        raise ConfigError(
            f"supervision is labels, but no two of the {len(paths)} pictures share a label in {ranks.origin} "
            f"({'; '.join(parts)}); give more pictures a label, or use --supervision none"
        )
    document = [[path, ranks.of[path][: len(rank_weights)]] for path in paths]
    digest = hashlib.sha256(json.dumps(document).encode()).hexdigest()[:16]
    return TrainingLabels(number_NR, f"training reads labels: {', '.join(parts)}", digest)


def _require_negatives(name: str, known: Sequence[str], num_without: int, origin: str) -> None:
    if len(known) == 1 and num_without == 0:
        raise ConfigError(
            f"supervision is labels, but every picture has the label {known[0]!r} at {name} in {origin}, so that "
            "nothing would be told apart; give that rank the weight 0, or use --supervision none"
        )
