"""What a run leaves behind for a person: log.jsonl, TensorBoard's files, masks/ and report.html.

Measuring happens here too, at the end of epochs: collapse stops the run, and the held-out pictures say which weights
are the best so far.
"""

import contextlib
import json
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from PIL import Image

from training.checkpoint import RunState
from training.curves import open_curves
from training.monitor import Monitor, Spread, require_no_collapse
from training.report import write_report
from training.step import StepTotals

# Measurements and mask pictures a run, spread over its epochs.
NUM_MEASUREMENTS = 50
NUM_MASK_PICTURES = 10
SCALARS_PER_EPOCH = 10
# Columns of log.jsonl that are no means over an epoch.
NOT_MEANS = ("step", "epoch", "seconds", "lr", "momentum", "supervision")


class RunRecord:
    """The record of one run, continued when the run is. Inactive in all processes but the first.

    Args:
        run: folder of the run.
        monitor: what measures.
        state: of the checkpoint that this session begins from.
        steps_per_epoch: steps of an epoch.
        active: whether this process writes.
    """

    def __init__(self, run: Path, monitor: Monitor, state: RunState, steps_per_epoch: int, *, active: bool) -> None:
        self.run, self.monitor, self.start, self.active = run, monitor, state, active
        self.steps_per_epoch, self.epochs = steps_per_epoch, state.recipe.epochs
        self.first_step, self.best_map, self.is_best = state.step, state.best_map, False
        self.started = self.epoch_started = time.monotonic()
        self._totals: list[StepTotals] = []
        self._spread: Spread | None = None

    def __enter__(self) -> "RunRecord":
        if self.active:
            self.log = (self.run / "log.jsonl").open("a", encoding="utf-8")
            self.tensorboard = open_curves(self.run, self.first_step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.active:
            return
        # A fault that is already on its way says more than one of closing files (a full disk has both).
        with contextlib.suppress(OSError) if kind is not None else contextlib.nullcontext():
            self.log.close()
            self.tensorboard.close()
            write_report(self.run)

    def state(self, step: int) -> RunState:
        """What a checkpoint at `step` says of the run."""
        seconds = self.start.seconds + time.monotonic() - self.started
        return replace(self.start, step=step, seconds=seconds, best_map=self.best_map)

    def step(self, step: int, totals: StepTotals, *, lr: float, momentum: float, is_stopping: bool) -> None:
        """Note a step; at the end of an epoch, or when the run stops, write its line and measure if it is time.

        Raises:
            TrainingError: the embedding has collapsed.
        """
        self.is_best = False
        if not self.active:
            return
        self._totals.append(totals)
        epoch, position = divmod(step - 1, self.steps_per_epoch)
        if step % max(1, self.steps_per_epoch // SCALARS_PER_EPOCH) == 0:
            losses = {"loss/Lg": totals.global_loss, "loss/Ll": totals.local_loss}
            self.tensorboard.scalars(step, {**losses, "schedule/lr": lr, "schedule/momentum": momentum})
        is_epoch_end = position == self.steps_per_epoch - 1
        if not (is_epoch_end or is_stopping):
            return
        self._spread = None
        line: dict[str, float | str] = {"step": step, "epoch": epoch + 1, "lr": lr, "momentum": momentum}
        line |= self._epoch_means()
        if is_epoch_end:
            line |= self._measure(epoch + 1)
        line["seconds"] = round(self.state(step).seconds, 1)
        line["supervision"] = self.start.recipe.supervision
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()
        means = {key: value for key, value in line.items() if key not in NOT_MEANS}
        self.tensorboard.scalars(step, {f"epoch/{key}": float(value) for key, value in means.items()})
        if is_epoch_end and self._is_due(epoch + 1, NUM_MASK_PICTURES):
            self._draw_masks(step, epoch + 1)
        self.tensorboard.flush()
        self._totals, self.epoch_started = [], time.monotonic()
        if self._spread is not None:
            require_no_collapse(self._spread, epoch + 1)

    def _epoch_means(self) -> dict[str, float]:
        seconds = max(time.monotonic() - self.epoch_started, 1e-9)
        num = len(self._totals)
        return {
            "Lg": sum(totals.global_loss for totals in self._totals) / num,
            "Ll": sum(totals.local_loss for totals in self._totals) / num,
            "pictures_per_s": num * self.start.recipe.batch_size / seconds,
            "data_wait_share": min(1.0, sum(totals.wait_s for totals in self._totals) / seconds),
        }

    def _is_due(self, epoch: int, num_wanted: int) -> bool:
        """Whether this epoch is one of about `num_wanted` that are spread over the run; the last always is."""
        return epoch % max(1, self.epochs // num_wanted) == 0 or epoch == self.epochs

    def _measure(self, epoch: int) -> dict[str, float]:
        if not self._is_due(epoch, NUM_MEASUREMENTS):
            return {}
        self._spread = self.monitor.spread()
        figures = {"embedding_spread": self._spread.spread, "embedding_rank": self._spread.rank}
        scores = self.monitor.retrieval()
        if scores is not None:
            figures |= {"rank_1": scores.rank_1, "rank_5": scores.rank_5, "mAP": scores.mean_average_precision}
            if scores.mean_average_precision > self.best_map:
                self.best_map, self.is_best = scores.mean_average_precision, True
        return figures

    def _draw_masks(self, step: int, epoch: int) -> None:
        picture = self.monitor.mask_picture()
        folder = self.run / "masks"
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"epoch-{epoch:04d}.png")
        self.tensorboard.picture(step, "pivotal patches", picture)
