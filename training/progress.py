"""What a person sees while a run trains: epoch, losses, pictures a second, waiting for data, time left."""

import importlib
import sys
import time
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.recipe import Recipe
from training.schedule import image_size_at
from training.step import StepTotals

PLAIN_LINE_EVERY_S = 30.0


class Bar(Protocol):
    """What draws progress on a terminal."""

    def start(self) -> None:
        """Show it."""

    def update(self, work: float, text: str) -> None:
        """Show that so much of the work is done."""

    def stop(self) -> None:
        """Leave it as it is."""


def work_of(recipe: Recipe, num_steps: int) -> NDArray[np.float64]:
    """The share of a run's work that is done after so many steps, shape (num_steps + 1,), from 0 to 1.

    A step counts by the pixels of its views: where these grow, as many steps take twice as long at the end.
    """
    sides = [
        image_size_at(
            step, num_steps, start=recipe.image_size_start, end=recipe.image_size, patch_size=recipe.patch_size
        )
        for step in range(num_steps)
    ]
    done = np.cumsum([0.0, *(side**2 for side in sides)])
    return done / max(done[-1], 1.0)


def _open_bar(first: float) -> Bar | None:
    """The bar; None where rich, which draws it, is not installed: plain lines say the same."""
    try:
        bar: Bar = importlib.import_module("training.progress_bar").ProgressBar(first)
    except ModuleNotFoundError:
        return None
    return bar


class TrainingProgress:
    """A progress bar on a terminal, a line every half minute elsewhere, nothing when quiet."""

    def __init__(self, recipe: Recipe, num_steps: int, steps_per_epoch: int, first_step: int, quiet: bool) -> None:
        self.num_steps, self.steps_per_epoch = num_steps, steps_per_epoch
        self.pictures_per_step = recipe.pictures_per_step
        self.first_step, self.quiet, self.wait_s = first_step, quiet, 0.0
        self.work = work_of(recipe, num_steps)
        self.started = self.last_line = time.monotonic()
        self.bar = _open_bar(self.work[first_step]) if not quiet and sys.stderr.isatty() else None

    def __enter__(self) -> "TrainingProgress":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def advance(self, step: int, totals: StepTotals) -> None:
        """Show that `step` steps are done, with the losses of the last."""
        now = time.monotonic()
        self.wait_s += totals.wait_s
        waiting = self.wait_s / max(now - self.started, 1e-9)
        rate = (step - self.first_step) * self.pictures_per_step / max(now - self.started, 1e-9)
        epoch = (step - 1) // self.steps_per_epoch + 1
        epochs = self.num_steps // self.steps_per_epoch
        text = (
            f"epoch {epoch}/{epochs}  Lg {totals.global_loss:.3f}  Ll {totals.local_loss:.3f}  "
            f"{rate:.0f} pictures/s  waiting {waiting:.0%}"
        )
        if self.bar is not None:
            self.bar.update(self.work[step], text)
        elif not self.quiet and (now - self.last_line > PLAIN_LINE_EVERY_S or step == self.num_steps):
            self.last_line = now
            done, first = self.work[step], self.work[self.first_step]
            left_s = (1 - done) / max(done - first, 1e-9) * (now - self.started)
            sys.stderr.write(f"{text}  {left_s / 60:.0f} min left\n")
            sys.stderr.flush()
