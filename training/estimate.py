"""What a run would take, before it is begun: parameters, steps, memory, time.

Time and memory come from a few real steps of the real model on this device, with pictures of noise: their content does
not change what a step costs. Where the views grow in the course of the run, steps are measured at each size. Not
counted: decoding the pictures once, and waiting for a disk.
"""

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from training.checkpoint import build_model, trained_parameters
from training.distributed import World
from training.initial_weights import FETCHED, initial_model
from training.loading import Batch, count_steps
from training.pictures import stored_side
from training.recipe import Recipe
from training.schedule import StepSettings, settings_at
from training.selection import select_pictures
from training.step import TrainingStep

NUM_TIMED = 3


@dataclass(frozen=True)
class Estimate:
    """What a run would take.

    Attributes:
        num_trained: parameters that the optimiser moves.
        num_all: those and the momentum encoder's.
        num_pictures: pictures to train on, if all can be decoded.
        num_held_out: pictures kept out of training.
        num_steps: optimiser updates of the whole run.
        steps_per_epoch: of one pass.
        step_s: seconds a step, the mean over the run.
        memory_bytes: weights, optimiser, gradients and what the forward keeps for the backward, at their largest.
        disk_bytes: the decoded pictures and two checkpoints.
        device: where it was measured.
        labels: which labels the loss would read; empty without supervision.
    """

    num_trained: int
    num_all: int
    num_pictures: int
    num_held_out: int
    num_steps: int
    steps_per_epoch: int
    step_s: float
    memory_bytes: int
    disk_bytes: int
    device: str
    labels: str = ""

    def lines(self) -> list[str]:
        """For a person."""
        held_out = f", {self.num_held_out} held out" if self.num_held_out else ""
        return [
            f"parameters  {self.num_trained / 1e6:.1f} M trained, {self.num_all / 1e6:.1f} M with the momentum encoder",
            f"pictures    {self.num_pictures}{held_out}",
            *([f"labels      {self.labels}"] if self.labels else []),
            f"steps       {self.num_steps} ({self.steps_per_epoch} an epoch)",
            f"memory      {self.memory_bytes / 2**30:.1f} GiB on {self.device}",
            f"disk        {self.disk_bytes / 2**30:.1f} GiB for the decoded pictures and two checkpoints",
            f"time        {_duration(self.num_steps * self.step_s)} on this {self.device} ({self.step_s:.2f} s a step)",
        ]


def estimate_run(
    recipe: Recipe, data: Path, device: torch.device, num_processes: int = 1, *, label_table: Path | None = None
) -> Estimate:
    """Measure a few steps of a run of `recipe` on `data`. Writes nothing.

    Args:
        recipe: with its precision settled.
        data: folder of pictures; they are listed, not decoded.
        device: where it would train.
        num_processes: that the batch would be shared by.
        label_table: CSV of labels, to take instead of those that the layout has.

    Raises:
        SourceError, ConfigError: as `train` would.
    """
    selection = select_pictures(recipe, data, label_table)
    division = selection.division
    labels = selection.training_labels(recipe, [path.relative_to(data).as_posix() for path in division.trained.paths])
    num_pictures = len(division.trained.paths)
    steps_per_epoch = count_steps(num_pictures, recipe.batch_size, data, recipe.repeats)
    # Weights in a file are read, so that what is wrong with them is told now; nothing is fetched for an estimate.
    is_fetched = recipe.init.startswith(FETCHED)
    model = (build_model(recipe) if is_fetched else initial_model(recipe)).to(device).train()
    parameters = [parameter for _, parameter in trained_parameters(model)]
    optimizer = AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    num_steps = recipe.epochs * steps_per_epoch
    step = TrainingStep(model, optimizer, recipe, device, World())
    measured = [(share, *_measure(step, num_processes, settings)) for settings, share in stretches(recipe, num_steps)]
    side = stored_side(recipe.image_size)
    num_trained = sum(parameter.numel() for parameter in parameters)
    num_all = sum(parameter.numel() for parameter in model.parameters())
    return Estimate(
        num_trained=num_trained,
        num_all=num_all,
        num_pictures=num_pictures,
        num_held_out=len(division.held_out.paths) if division.held_out is not None else 0,
        num_steps=num_steps,
        steps_per_epoch=steps_per_epoch,
        step_s=sum(share * step_s for share, step_s, _ in measured),
        memory_bytes=max(memory_bytes for _, _, memory_bytes in measured),
        # A checkpoint holds both encoders and two moments of each trained parameter, in float32.
        disk_bytes=num_pictures * side * side * 3 + 2 * 4 * (num_all + 2 * num_trained),
        device=device.type,
        labels=labels.summary if labels is not None else "",
    )


def stretches(recipe: Recipe, num_steps: int) -> list[tuple[StepSettings, float]]:
    """The parts of a run whose steps cost the same: what to measure each with, and its share of the steps.

    A part has one size of the views. The share of kept patches, which the cost is nearly linear in, is its mean.
    """
    ratios: dict[int, list[float]] = defaultdict(list)
    for step in range(num_steps):
        settings = settings_at(step, num_steps, recipe)
        ratios[settings.image_size].append(settings.keep_ratio)
    return [
        (StepSettings(recipe.lr, recipe.momentum, size, fmean(kept)), len(kept) / num_steps)
        for size, kept in ratios.items()
    ]


def _measure(step: TrainingStep, num_processes: int, settings: StepSettings) -> tuple[float, int]:
    """Seconds of a step and bytes it needs, as the median of a few after one to warm up."""
    recipe, device = step.recipe, step.device
    side, num = stored_side(recipe.image_size), max(2 * recipe.repeats, recipe.batch_size // num_processes)
    noise = torch.randint(0, 256, (num, side, side, 3), dtype=torch.uint8, device=device)
    batch = Batch(noise, torch.ones(num, device=device), 0.0)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    saved = _SavedTensors(step.model)
    seconds = []
    for number in range(1 + NUM_TIMED):
        started = time.monotonic()
        with saved if number == 0 else torch.enable_grad():
            step(batch, 0, number, settings, stop=False)
        seconds.append(time.monotonic() - started)
    if device.type == "cuda":
        return sorted(seconds[1:])[NUM_TIMED // 2], torch.cuda.max_memory_allocated(device)
    model = step.model
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    trained = sum(parameter.numel() * 4 for parameter in model.parameters() if parameter.requires_grad)
    return sorted(seconds[1:])[NUM_TIMED // 2], weights + 3 * trained + saved.num_bytes


class _SavedTensors(torch.autograd.graph.saved_tensors_hooks):
    """Counts the bytes that a forward keeps for its backward, each storage once. A CPU has no other counter.

    A model's own parameters are kept too, but take no memory of their own.
    """

    def __init__(self, model: nn.Module) -> None:
        self._storages: dict[int, int] = {}
        self._parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        super().__init__(self._note, lambda tensor: tensor)

    def _note(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._parameters:
            self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    @property
    def num_bytes(self) -> int:
        """Bytes kept so far."""
        return sum(self._storages.values())


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
