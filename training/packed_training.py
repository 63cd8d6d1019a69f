"""Train on packs: unpacked, the epochs fitted to a time where asked, begun or gone on with, and noted."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from encoder.errors import ConfigError
from encoder.picture_files import list_pictures
from training.checkpoint import CHECKPOINT_NAME, lacks_whitening, read_state
from training.device import resolve_precision
from training.earlier_stages import earlier_stages
from training.epoch_fitting import fit_epochs
from training.moved_run import say_where_pictures_lie
from training.packs import PackIndex, read_index, unpack
from training.pictures import stored_side
from training.recipe import Recipe
from training.run_note import read_note, require_packs_of, write_note
from training.trainer import RunResult, train


def train_packs(
    recipe: Recipe,
    packs: Path,
    pictures: Path,
    run: Path,
    *,
    device: torch.device,
    minutes: float | None = None,
    quiet: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """Train to the end of the recipe, resuming what is in `run`.

    Args:
        recipe: all settings of the run.
        packs: folder of packs.json.
        pictures: where they are unpacked.
        run: folder of the run; `training.json` in it says what it was trained on, where, and how epochs were fitted.
        device: where to train.
        minutes: choose the epochs so that training takes this long; the recipe's if None.
        quiet: show no progress.
        tell: called with a line before each step that takes long.

    Raises:
        SourceError: a pack is missing or damaged.
        ConfigError: the run was begun with another recipe or other packs, or the recipe reads labels and the packs hold
            none, or fewer ranks than it has weights.
        TrainingError: as `train`.
    """
    index = read_index(packs)
    if recipe.reads_labels and not index.labelled:
        raise ConfigError(
            f"the recipe reads labels, but the training packs in {packs} hold none; pack again for this recipe"
        )
    is_begun = (run / CHECKPOINT_NAME).is_file()
    note = read_note(run) if is_begun else {}  # what a start noted that came to nothing is not of this one
    if note:
        _require_same(note, run, packs, index, recipe, minutes)
        if done := _finished(recipe, run, is_fitted=minutes is not None):
            tell(f"{run} is trained already, {done.step} steps")
            return done
    if index.short_side < (wanted := stored_side(recipe.image_size)):
        tell(
            f"warning: the packs hold pictures of {index.short_side} pixels, and views of {recipe.image_size} are cut "
            f"from {wanted}; pack again for this recipe, unless that was meant"
        )
    tell(f"unpacking {index.num_train} training pictures")
    data = unpack(packs, "train", pictures)
    _require_ranks(recipe, data)
    recipe = resolve_precision(recipe, device)
    fitted = note.get("fitted")
    if minutes is not None:
        recipe, fitted = _fitted(recipe, data, run, device, minutes, fitted, tell)
    say_where_pictures_lie(run, data)
    # `train` refuses another recipe, so nothing is noted of it.
    if not is_begun or read_state(run).recipe.trains_as(recipe):
        run.mkdir(parents=True, exist_ok=True)
        earlier = note["earlier"] if "earlier" in note else earlier_stages(recipe)
        _write_note(run, index, [*note.get("devices", []), device_name(device)], fitted, earlier)
    tell(f"training {recipe.epochs} epochs of {recipe.batch_size} pictures a step on {device_name(device)}")
    return train(recipe, data, run, device=device, quiet=quiet)


def _require_same(
    note: dict[str, Any], run: Path, packs: Path, index: PackIndex, recipe: Recipe, minutes: float | None
) -> None:
    """A run goes on with the packs and the time that it was begun with."""
    require_packs_of(note, run, packs, index)
    fitted = note.get("fitted")
    if minutes is None:
        differs = fitted is not None and recipe.epochs != fitted["epochs"]
    else:
        differs = fitted is None or fitted["minutes"] != minutes
    if differs:
        how = f"for {fitted['minutes']:g} minutes (--minutes)" if fitted else "with the epochs of its recipe"
        raise ConfigError(f"{run} was begun {how}; ask for the same, or choose another --out")


def _require_ranks(recipe: Recipe, data: Path) -> None:
    """The folder of a set stands above the labels of its pictures, and is none of them."""
    num_ranks = max(len(path.relative_to(data).parts) for path in list_pictures(data)) - 2  # SET/.../PICTURE
    if recipe.supervision == "labels" and len(recipe.rank_weights) > num_ranks:
        folders = "1 folder deep" if num_ranks == 1 else f"{num_ranks} folders deep"
        raise ConfigError(
            f"rank_weights has {len(recipe.rank_weights)} weights, but the labels of the training pictures are "
            f"{folders}; give no more weights than that, or sort the pictures of each set into deeper folders"
        )


def _finished(recipe: Recipe, run: Path, *, is_fitted: bool) -> RunResult | None:
    """How a run of this recipe ended, wherever that was; None if it has not, or is of another recipe."""
    if not (run / CHECKPOINT_NAME).is_file():
        return None
    state = read_state(run)
    wanted = replace(
        recipe,
        epochs=state.recipe.epochs if is_fitted else recipe.epochs,
        precision=state.recipe.precision if recipe.precision == "auto" else recipe.precision,
    )
    if not state.recipe.trains_as(wanted) or state.step < state.num_steps or lacks_whitening(run, state):
        return None
    return RunResult(state.step, state.num_steps, False, state.best_map)


def device_name(device: torch.device) -> str:
    """What computes, for a person."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} CPU cores"


def _fitted(
    recipe: Recipe,
    data: Path,
    run: Path,
    device: torch.device,
    minutes: float,
    before: dict[str, Any] | None,
    tell: Callable[[str], None],
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe with fitted epochs; those of before where the run was begun already."""
    if before is not None:
        tell(f"going on with the {before['epochs']} epochs that were fitted to {minutes:g} minutes")
        return replace(recipe, epochs=before["epochs"]), before
    tell("measuring steps, to fit the epochs to the time")
    found = fit_epochs(recipe, data, run, device, minutes)
    tell(found.line())
    return replace(recipe, epochs=found.epochs), dataclasses.asdict(found)


def _write_note(
    run: Path,
    index: PackIndex,
    devices: Sequence[str],
    fitted: dict[str, Any] | None,
    earlier: Sequence[dict[str, Any]],
) -> None:
    note: dict[str, Any] = {
        "packs": index.digest(),
        "sets": [each.name for each in index.sets],
        "labelled": index.labelled,
        "devices": list(dict.fromkeys(devices)),
        "torch": torch.__version__,
        "fitted": fitted,
        "earlier": earlier,
    }
    write_note(run, note)
