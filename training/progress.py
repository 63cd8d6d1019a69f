"""What a person sees while a run trains: epoch, losses, pictures a second, waiting for data, time left."""

import importlib
import sys
import time
from types import TracebackType
from typing import Protocol

from training.step import StepTotals

PLAIN_LINE_EVERY_S = 30.0


class Bar(Protocol):
    """What draws progress on a terminal."""

    def start(self) -> None:
        """Show it."""

    def update(self, step: int, text: str) -> None:
        """Show that `step` steps are done."""

    def stop(self) -> None:
        """Leave it as it is."""


def _open_bar(num_steps: int, first_step: int) -> Bar | None:
    """The bar; None where rich, which draws it, is not installed: plain lines say the same."""
    try:
        bar: Bar = importlib.import_module("training.progress_bar").ProgressBar(num_steps, first_step)
    except ModuleNotFoundError:
        return None
    return bar


class TrainingProgress:
    """A progress bar on a terminal, a line every half minute elsewhere, nothing when quiet."""

    def __init__(
        self, num_steps: int, steps_per_epoch: int, pictures_per_step: int, first_step: int, quiet: bool
    ) -> None:
        self.num_steps, self.steps_per_epoch, self.pictures_per_step = num_steps, steps_per_epoch, pictures_per_step
        self.first_step, self.quiet, self.wait_s = first_step, quiet, 0.0
        self.started = self.last_line = time.monotonic()
        self.bar = _open_bar(num_steps, first_step) if not quiet and sys.stderr.isatty() else None

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
            self.bar.update(step, text)
        elif not self.quiet and (now - self.last_line > PLAIN_LINE_EVERY_S or step == self.num_steps):
            self.last_line = now
            left_s = (self.num_steps - step) / max(step - self.first_step, 1) * (now - self.started)
            sys.stderr.write(f"{text}  {left_s / 60:.0f} min left\n")
            sys.stderr.flush()
