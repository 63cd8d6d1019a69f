"""The training loop: from a recipe and a folder of unlabelled pictures to a checkpoint.

A run is a function of the recipe, the pictures and the step: nothing random is carried along, so an interrupted run
continues from its last checkpoint as if it had not been interrupted. Ctrl-C and SIGTERM save first.

Not covered: more than one device, gradient accumulation.
"""

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim import AdamW

from encoder.errors import ConfigError, TrainingError
from training.checkpoint import (
    CHECKPOINT_NAME,
    RunState,
    build_model,
    load_model,
    load_optimizer,
    save_checkpoint,
    trained_parameters,
)
from training.model import LoDisc, Losses
from training.pictures import PictureStore, open_picture_store
from training.progress import TrainingProgress
from training.recipe import Recipe, save_recipe
from training.schedule import learning_rate, momentum_at
from training.views import batch_order, step_generator, two_views

SAVE_EVERY_S = 120.0


@dataclass(frozen=True)
class RunResult:
    """How a call of `train` ended: after `step` of `num_steps`, and whether it was told to stop."""

    step: int
    num_steps: int
    interrupted: bool


def train(
    recipe: Recipe,
    data: Path,
    run: Path,
    *,
    device: torch.device,
    max_steps: int | None = None,
    quiet: bool = False,
) -> RunResult:
    """Train until the recipe's last epoch, resuming if `run` already holds a checkpoint.

    Args:
        recipe: all settings of the run.
        data: folder of pictures; its sub-folders mean nothing here.
        run: folder for recipe.toml, checkpoint.safetensors, log.jsonl and the decoded pictures; made if missing.
        device: where to train.
        max_steps: stop (and save) after this many steps of the schedule, which stays as long as the recipe says.
        quiet: show no progress.

    Raises:
        SourceError: the pictures are missing, or too few.
        ConfigError: the run was started with another recipe or other pictures, or the batch is larger than the set.
        TrainingError: the loss is no longer finite, or a checkpoint cannot be written.
    """
    if recipe.precision == "auto":
        raise ConfigError("precision is auto; settle it with training.device.resolve_precision first")
    store = open_picture_store(data, run / "pictures", recipe.image_size)
    steps_per_epoch = len(store) // recipe.batch_size
    if steps_per_epoch == 0:
        raise ConfigError(
            f"batch_size is {recipe.batch_size}, but {data} holds {len(store)} pictures; "
            f"use --batch-size {len(store)} or less"
        )
    num_steps = recipe.epochs * steps_per_epoch
    model, optimizer, step, seconds_before = _start_or_resume(recipe, run, data, len(store), device)
    save_recipe(recipe, run / "recipe.toml")

    last = num_steps if max_steps is None else min(num_steps, max_steps)
    started = last_saved = time.monotonic()

    def save() -> None:
        seconds = seconds_before + time.monotonic() - started
        save_checkpoint(run, model, optimizer, RunState(recipe, step, str(data.resolve()), len(store), seconds))

    with (
        _stop_signals() as stop,
        TrainingProgress(num_steps, steps_per_epoch, recipe.batch_size, step, quiet) as progress,
        (run / "log.jsonl").open("a", encoding="utf-8") as log,
    ):
        while step < last and not stop.is_set():
            epoch, position = divmod(step, steps_per_epoch)
            lr = learning_rate(step, num_steps, base_lr=recipe.lr * recipe.batch_size / 256, warmup=recipe.warmup)
            losses = _train_step(
                model, optimizer, store, recipe, device, epoch=epoch, position=position, lr=lr,
                momentum=momentum_at(step, num_steps, start=recipe.momentum),
            )  # fmt: skip
            step += 1
            global_loss, local_loss = (
                float(losses.global_branch.detach()),
                float(losses.local_branch.detach()),
            )
            progress.advance(step, global_loss, local_loss)
            if position == steps_per_epoch - 1 or step == last:
                line = {"step": step, "epoch": epoch + 1, "lr": lr, "Lg": global_loss, "Ll": local_loss}
                line["seconds"] = round(seconds_before + time.monotonic() - started, 1)
                log.write(json.dumps(line) + "\n")
                log.flush()
            if time.monotonic() - last_saved > SAVE_EVERY_S:
                save()
                last_saved = time.monotonic()
        save()
    return RunResult(step, num_steps, interrupted=stop.is_set())


def _start_or_resume(
    recipe: Recipe, run: Path, data: Path, num_pictures: int, device: torch.device
) -> tuple[LoDisc, AdamW, int, float]:
    """Model and optimiser at the run's last checkpoint, or at step 0; refuses a run of another recipe."""
    resumes = (run / CHECKPOINT_NAME).is_file()
    if resumes:
        model, state = load_model(run)
        if state.recipe != recipe:
            raise ConfigError(
                f"{run} was started with another recipe (see its recipe.toml); "
                "continue with that one or choose another --out"
            )
        if (state.data, state.num_pictures) != (str(data.resolve()), num_pictures):
            raise ConfigError(
                f"{run} was started on {state.num_pictures} pictures of {state.data}, now there are "
                f"{num_pictures} of {data.resolve()}; restore them or choose another --out"
            )
    else:
        model, state = build_model(recipe), None
    model.to(device).train()
    optimizer = AdamW(
        [parameter for _, parameter in trained_parameters(model)],
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    if state is None:
        return model, optimizer, 0, 0.0
    load_optimizer(run, model, optimizer)
    return model, optimizer, state.step, state.seconds


def _train_step(
    model: LoDisc,
    optimizer: AdamW,
    store: PictureStore,
    recipe: Recipe,
    device: torch.device,
    *,
    epoch: int,
    position: int,
    lr: float,
    momentum: float,
) -> Losses:
    """One optimiser update on the batch at `position` of `epoch`."""
    order = batch_order(len(store), epoch, recipe.seed)
    rows_B = order[position * recipe.batch_size : (position + 1) * recipe.batch_size]
    generator = step_generator(device, recipe.seed, epoch, position)
    view1, view2 = two_views(store, rows_B, recipe, generator)
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
        losses: Losses = model(view1, view2, momentum, generator)
    if not torch.isfinite(losses.total):
        raise TrainingError(
            f"the loss is {float(losses.total.detach())} in epoch {epoch + 1}; lower --lr, or use --precision fp32"
        )
    optimizer.param_groups[0]["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    losses.total.backward()
    optimizer.step()
    return losses


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second Ctrl-C interrupts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(signum: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
