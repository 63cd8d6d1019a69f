"""Whether a run read labels, in one sentence that its report and the card of its bundle share."""

from collections.abc import Mapping
from typing import Any


def labels_sentence(recipe: Mapping[str, Any]) -> str:
    """What a recipe says of labels.

    Args:
        recipe: its plain values, as recipe.toml and a bundle's manifest hold them.
    """
    if recipe.get("supervision", "none") == "labels":
        return f"trained with labels (rank weights {', '.join(f'{weight:g}' for weight in recipe['rank_weights'])})"
    sentence = "no label was read"
    if recipe.get("holdout", 0) > 0:
        sentence = "the loss read no label; those of the held-out pictures chose the best checkpoint"
    init = str(recipe.get("init", ""))
    if not init:
        return sentence
    return f"{sentence}; whether its initial weights ({init.rsplit('/', 1)[-1]}) saw any is not in its recipe"
