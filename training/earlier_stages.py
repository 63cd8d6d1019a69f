"""What a run began from, and that run from what before it, as the figures and the model card tell it."""

import json
from pathlib import Path
from typing import Any

from training.checkpoint import read_state
from training.recipe import Recipe, recipe_values
from training.second_stage import is_run

# Written by a training on packs into the folder of its run.
NOTE_NAME = "training.json"


def read_note(run: Path) -> dict[str, Any]:
    """What a training on packs noted of a run; nothing where it has noted nothing."""
    path = run / NOTE_NAME
    note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return note


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
