"""Which pictures of a folder a run trains on, which it holds out, and what they are called if it may know.

Without supervision and without held-out pictures no label is read: neither the names of folders nor a set's own files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from encoder.errors import ConfigError
from training.holdout import Division, divide
from training.label_ranks import LabelRanks, TrainingLabels, folder_ranks, training_labels
from training.label_table import read_label_table
from training.layouts import Listing, list_split
from training.recipe import Recipe


@dataclass(frozen=True)
class Selection:
    """The pictures of a run.

    Attributes:
        division: what is trained on and what is held out.
        ranks: the labels of all of them; None where none was read.
        unknown: paths of the label table that are no picture of the data.
    """

    division: Division
    ranks: LabelRanks | None
    unknown: list[str]

    def training_labels(self, recipe: Recipe, paths: Sequence[str]) -> TrainingLabels | None:
        """The labels that the loss reads for these pictures, paths relative to the data; None without supervision.

        Raises:
            ConfigError: they do not fit the recipe, or teach nothing.
        """
        if recipe.supervision == "none":
            return None
        assert self.ranks is not None
        return training_labels(self.ranks, paths, recipe.rank_weights)


def select_pictures(recipe: Recipe, data: Path, label_table: Path | None = None) -> Selection:
    """List the training pictures of `data` and divide them.

    Args:
        recipe: layout, supervision and holdout.
        data: the folder.
        label_table: a CSV of labels to take instead of those that the layout has.

    Raises:
        SourceError: the folder is not laid out so, or the table is wrong.
        ConfigError: too little could be held out, or nothing of the recipe would read the table.
    """
    if label_table is not None and not recipe.reads_labels:
        raise ConfigError(
            f"--labels {label_table} is given, but supervision is none and nothing is held out, so no label would be "
            "read; add --supervision labels, or leave it out"
        )
    listing = list_split(data, recipe.layout, "train", labelled=recipe.reads_labels and label_table is None)
    if not recipe.reads_labels:
        return Selection(divide(listing, data, 0, recipe.seed), None, [])
    names = [path.relative_to(data).as_posix() for path in listing.paths]
    unknown: list[str] = []
    if label_table is not None:
        ranks, unknown = read_label_table(label_table, dict.fromkeys(names))
        listing = replace(listing, labels=[ranks.of[name][0] for name in names])
    else:
        ranks = _layout_ranks(listing, names, recipe.layout, data)
    return Selection(divide(listing, data, recipe.holdout, recipe.seed), ranks, unknown)


def _layout_ranks(listing: Listing, names: Sequence[str], layout: str, data: Path) -> LabelRanks:
    """Sub-folders nest; a published set has the one rank that it is published with."""
    if layout == "folder":
        return folder_ranks(names, str(data))
    return LabelRanks(
        str(data), ("class",), {name: (label,) for name, label in zip(names, listing.labels, strict=True)}
    )
