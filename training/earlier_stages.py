"""What a run began from, and that run from what before it, as the figures and the model card tell it."""

from pathlib import Path
from typing import Any

from training.checkpoint import read_state
from training.recipe import Recipe, recipe_values
from training.run_note import read_note
from training.second_stage import is_run


def earlier_stages(recipe: Recipe) -> list[dict[str, Any]]:
    """The runs that a run of `recipe` goes on from, oldest first; none if it begins from a file or from nothing.

    Each says its `recipe`, `sets` (empty if it was not trained on packs), `num_pictures`, `step`, `epochs` and
    `seconds`. What lies before a run is taken from its note, so that it can be told where that is gone.
    """
    if not recipe.init or not is_run(recipe.init):
        return []
    source = Path(recipe.init)
    state = read_state(source)
    note = read_note(source if source.is_dir() else source.parent)
    stage = {
        "recipe": recipe_values(state.recipe),
        "sets": note.get("sets", []),
        "num_pictures": state.num_pictures,
        "step": state.step,
        "epochs": state.epochs,
        "seconds": state.seconds,
    }
    return [*(note["earlier"] if "earlier" in note else earlier_stages(state.recipe)), stage]
