"""Where a run begins: its initial weights, or its last checkpoint, the same in every process."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.optim import AdamW

from encoder.errors import ConfigError
from training.augmentation import centre_views, normalise
from training.checkpoint import (
    CHECKPOINT_NAME,
    RunState,
    build_model,
    load_model,
    load_optimizer,
    read_state,
    trained_parameters,
)
from training.distributed import World
from training.init_report import InitReport
from training.initial_weights import start_model
from training.model import LoDisc
from training.pictures import PictureStore
from training.recipe import Recipe
from training.stem_statistics import BATCH_SIZE, NUM_PICTURES, learn_stem

logger = logging.getLogger(__name__)


def start_or_resume(
    recipe: Recipe,
    run: Path,
    data: Path,
    store: PictureStore,
    device: torch.device,
    world: World,
    *,
    labels: str = "",
    held_out: str = "",
) -> tuple[LoDisc, AdamW, RunState]:
    """Model and optimiser at the run's last checkpoint, or at step 0.

    The first process reads the files and the others are told, so machines need not share a folder.

    Raises:
        ConfigError: the run was started with another recipe, other pictures or other labels, of those held out too.
    """
    begun = RunState(
        recipe, 0, str(data.resolve()), len(store), 0.0, labels=labels, pictures=store.digest, held_out=held_out
    )
    resumes = False
    if world.is_first:
        resumes = (run / CHECKPOINT_NAME).is_file()
        model, state = _resumed(run, begun) if resumes else _fresh(run, begun, store)
    else:
        model, state = build_model(recipe), begun
    model.to(device).train()
    parameters = [parameter for _, parameter in trained_parameters(model)]
    optimizer = AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    if resumes:
        load_optimizer(run, model, optimizer)
    if world.size > 1:
        state = _share(state, parameters, optimizer, device)
    return model, optimizer, state


def first_weights(recipe: Recipe, store: PictureStore) -> tuple[LoDisc, InitReport | None]:
    """The model of step 0, on the CPU, and what became of the file of `recipe.init`, if any.

    Args:
        recipe: of the run.
        store: the training pictures, which a stem from statistics is learnt from.

    Raises:
        ConfigError: the recipe's initial weights are gone or do not fit.
    """
    model, report = start_model(recipe)
    if recipe.stem_init == "pca":
        learn_stem(model.base.backbone, _pictures(store, recipe.image_size), recipe.seed)
        model.momentum.load_state_dict(model.base.state_dict())
    return model, report


def _fresh(run: Path, begun: RunState, store: PictureStore) -> tuple[LoDisc, RunState]:
    model, report = first_weights(begun.recipe, store)
    if report is not None:
        lines, scale = report.lines(), begun.recipe.residual_scale
        if scale != 1:
            lines.append(f"  residual_scale {scale:g} is of no effect: every block is taken from there")
        text = "\n".join(lines)
        logger.warning("%s", text)
        (run / "initial_weights.txt").write_text(text + "\n", encoding="utf-8")
    return model, begun


def _pictures(store: PictureStore, image_size: int) -> torch.Tensor:
    """Training pictures spread over all of them, as a server sees them, normalised, shape (B, 3, S, S)."""
    rows = np.unique(np.linspace(0, len(store) - 1, min(NUM_PICTURES, len(store))).astype(int))
    pixels, aspect = torch.from_numpy(store.pixels_NQQ3[rows]), torch.from_numpy(store.aspect_N[rows])
    views = (
        centre_views(some.permute(0, 3, 1, 2).float() / 255, their_aspect, image_size)
        for some, their_aspect in zip(pixels.split(BATCH_SIZE), aspect.split(BATCH_SIZE), strict=True)
    )
    return normalise(torch.cat(list(views)))


def _resumed(run: Path, begun: RunState) -> tuple[LoDisc, RunState]:
    found = read_state(run)
    if not found.recipe.trains_as(begun.recipe):
        theirs, ours = vars(found.recipe), vars(begun.recipe)
        changed = ", ".join(f"{name} {theirs[name]!r} -> {ours[name]!r}" for name in ours if theirs[name] != ours[name])
        raise ConfigError(
            f"{run} was started with another recipe ({changed}); continue with its recipe.toml or choose another --out"
        )
    if (found.data, found.num_pictures) != (begun.data, begun.num_pictures):
        raise ConfigError(
            f"{run} was started on {found.num_pictures} pictures of {found.data}, now there are "
            f"{begun.num_pictures} of {begun.data}; restore them or choose another --out"
        )
    if found.pictures not in ("", begun.pictures):
        raise ConfigError(
            f"{run} was started on other pictures of {found.data}: as many, of other names (digest {found.pictures}, "
            f"now {begun.pictures}); restore them or choose another --out"
        )
    if found.labels != begun.labels:
        raise ConfigError(
            f"{run} was started with other labels of the same pictures (digest {found.labels}, now {begun.labels}); "
            "restore the folders or the --labels file, or choose another --out"
        )
    if found.held_out not in ("", begun.held_out):
        raise ConfigError(
            f"{run} was started with other held-out pictures, or other labels of them (digest {found.held_out}, now "
            f"{begun.held_out}), so its best checkpoint could not be compared with what comes; restore them or choose "
            "another --out"
        )
    model, state = load_model(run)
    return model, replace(state, pictures=begun.pictures, held_out=begun.held_out)


def _share(state: RunState, parameters: list[torch.nn.Parameter], optimizer: AdamW, device: torch.device) -> RunState:
    """Give every process the first one's state and optimiser; the weights are shared by DistributedDataParallel."""
    holder = [state]
    dist.broadcast_object_list(holder, src=0, device=device)
    state = holder[0]
    if state.step == 0:
        return state
    for parameter in parameters:
        own = optimizer.state[parameter]
        for key in ("exp_avg", "exp_avg_sq", "step"):
            if key not in own:
                own[key] = torch.zeros((), device=device) if key == "step" else torch.zeros_like(parameter)
            dist.broadcast(own[key], src=0)
    return state
