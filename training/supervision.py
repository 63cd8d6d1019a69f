"""Whether a run read labels, in one sentence that its report and the card of its bundle share."""

from collections.abc import Mapping, Sequence
from typing import Any


def reads_labels(recipe: Mapping[str, Any]) -> bool:
    """Whether training by a recipe, given as its plain values, looks at labels: to learn from, or to choose by."""
    return bool(recipe.get("supervision", "none") != "none" or recipe.get("holdout", 0) > 0)


def labels_sentence(recipe: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]] = ()) -> str:
    """What a recipe says of labels, and what those of the stages before it say.

    Args:
        recipe: its plain values, as recipe.toml and a bundle's manifest hold them.
        earlier: the stages before it, oldest first, as `training.earlier_stages` tells them; none where they are not
            known.
    """
    sentence = "no label was read"
    if recipe.get("supervision", "none") == "labels":
        sentence = f"trained with labels (rank weights {', '.join(f'{weight:g}' for weight in recipe['rank_weights'])})"
    elif recipe.get("holdout", 0) > 0:
        sentence = "the loss read no label; those of the held-out pictures chose the best checkpoint"
    if any(reads_labels(stage["recipe"]) for stage in earlier):
        sentence += "; an earlier stage read labels"
    elif earlier:
        sentence += "; no earlier stage read any"
    init = str((earlier[0]["recipe"] if earlier else recipe).get("init", ""))
    if not init or recipe.get("supervision", "none") == "labels":
        return sentence
    return f"{sentence}; whether its initial weights ({init.rsplit('/', 1)[-1]}) saw any is not in its recipe"
