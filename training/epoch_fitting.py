"""How many epochs fit into a time, so that the schedule ends with the run and the run with the time.

Two measurements, of which the slower counts: a few steps of the recipe at its full size on noise (`training.estimate`),
and the first steps of a real run, which wait for their pictures as all do.
"""

import json
import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from training.estimate import estimate_run
from training.recipe import Recipe
from training.trainer import train

# What measuring, drawing masks and writing checkpoints may take.
SHARE_OF_STEPS = 0.95
WARM_UP_STEPS = 3
TRIAL_S = 8.0
MOST_TRIAL_STEPS = 40


@dataclass(frozen=True)
class FittedEpochs:
    """What was found.

    Attributes:
        minutes: asked for, of training alone.
        step_s: seconds a step, measured.
        steps_per_epoch: of one pass.
        epochs: that fit, at least 1.
    """

    minutes: float
    step_s: float
    steps_per_epoch: int
    epochs: int

    def line(self) -> str:
        """For a person."""
        epoch_s = self.steps_per_epoch * self.step_s
        return (
            f"{self.step_s:.3f} s a step, {epoch_s:.1f} s an epoch: {self.epochs} epochs for {self.minutes:g} minutes"
            + ("; one epoch alone takes longer" if epoch_s > 60 * self.minutes else "")
        )


def fit_epochs(recipe: Recipe, data: Path, run: Path, device: torch.device, minutes: float) -> FittedEpochs:
    """Measure, and choose the epochs. The pictures that the trial decoded are left for the run.

    Args:
        recipe: with its precision settled; its epochs do not matter.
        data: folder of pictures, as `train` takes it.
        run: folder of the run that is to come; the trial is made beside it.
        device: where it will train.
        minutes: of training, above 0.

    Raises:
        SourceError, ConfigError, TrainingError: as `train` would.
        KeyboardInterrupt: the trial was told to stop.
    """
    estimate = estimate_run(recipe, data, device)
    trial = run.with_name(f".{run.name}.trial")
    num_trial = min(MOST_TRIAL_STEPS, max(WARM_UP_STEPS, math.ceil(TRIAL_S / estimate.step_s)))
    long = replace(recipe, epochs=math.ceil((WARM_UP_STEPS + num_trial) / estimate.steps_per_epoch) + 1)
    shutil.rmtree(trial, ignore_errors=True)
    try:
        for last in (WARM_UP_STEPS, WARM_UP_STEPS + num_trial):
            if train(long, data, trial, device=device, max_steps=last, quiet=True).interrupted:
                raise KeyboardInterrupt
        lines = [json.loads(line) for line in (trial / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        trial_s = recipe.batch_size / lines[-1]["pictures_per_s"]
        if not (run / "pictures").exists():
            run.mkdir(parents=True, exist_ok=True)
            (trial / "pictures").rename(run / "pictures")
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    step_s = max(estimate.step_s, trial_s)
    epochs = int(SHARE_OF_STEPS * 60 * minutes / (estimate.steps_per_epoch * step_s))
    return FittedEpochs(minutes, step_s, estimate.steps_per_epoch, max(1, epochs))
