"""The training loop: from a recipe and a folder of pictures, labelled or not, to a checkpoint.

A run is a function of the recipe, the pictures and the step: nothing random is carried along, so an interrupted run
continues from its last checkpoint as if it had not been interrupted. Ctrl-C and SIGTERM save first. Under torchrun
every process runs this same function; the first of them writes the files.
"""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim import AdamW

from encoder.errors import ConfigError, TrainingError
from encoder.picture_files import would_be_listed
from training.checkpoint import BEST_NAME, CHECKPOINT_NAME, save_checkpoint
from training.distributed import World, process_group, wait_for_all
from training.holdout import held_out_digest
from training.label_ranks import TrainingLabels
from training.layouts import Listing
from training.loading import batches, count_steps
from training.model import LoDisc
from training.monitor import Monitor
from training.pictures import PictureStore, open_picture_store
from training.progress import TrainingProgress
from training.recipe import Recipe, save_recipe
from training.record import RunRecord
from training.report import LABELS_NAME
from training.schedule import settings_at
from training.selection import Selection, select_pictures
from training.start import start_or_resume
from training.step import TrainingStep

logger = logging.getLogger(__name__)

SAVE_EVERY_S = 120.0


@dataclass(frozen=True)
class RunResult:
    """How a call of `train` ended.

    Attributes:
        step: steps done.
        num_steps: of the whole run.
        interrupted: whether it was told to stop.
        best_map: the best mAP on the held-out pictures; -1 if nothing was held out.
    """

    step: int
    num_steps: int
    interrupted: bool
    best_map: float


def train(
    recipe: Recipe,
    data: Path,
    run: Path,
    *,
    device: torch.device,
    label_table: Path | None = None,
    world: World | None = None,
    max_steps: int | None = None,
    keep_last: int = 2,
    max_unreadable: float = 0.1,
    compiled: bool = False,
    quiet: bool = False,
) -> RunResult:
    """Train until the recipe's last epoch, resuming if `run` already holds a checkpoint.

    Args:
        recipe: all settings of the run.
        data: folder of pictures, laid out as the recipe says; labels are read only if the recipe has supervision or
            holds pictures out.
        run: folder for recipe.toml, the checkpoints, log.jsonl, report.html, TensorBoard's files and the decoded
            pictures; made if missing.
        device: where this process trains.
        label_table: CSV of labels, to take instead of those that the layout has.
        world: this process among those of the run; a lone one if None.
        max_steps: stop (and save) after this many steps of the schedule, which stays as long as the recipe says.
        keep_last: the newest checkpoints that stay.
        max_unreadable: largest share of pictures that may fail to decode, in [0, 1].
        compiled: compile the backbones with torch.compile.
        quiet: show no progress.

    Raises:
        SourceError: the pictures are missing, too few, or too many of them unreadable; the label table is wrong.
        ConfigError: the run was started with another recipe, other pictures or other labels, the batch does not fit,
            the labels do not fit the recipe, or `run` lies among the pictures.
        TrainingError: the loss is no longer finite, the embedding has collapsed, or the disk is full.
    """
    if recipe.precision == "auto":
        raise ConfigError("precision is auto; settle it with training.device.resolve_precision first")
    if recipe.layout == "folder" and would_be_listed(run, data):
        raise ConfigError(
            f"--out {run} lies in the pictures, {data}, and what a run draws there would be taken for more of them; "
            "choose an --out elsewhere"
        )
    world = world or World()
    if recipe.batch_size % world.size:
        raise ConfigError(f"batch_size is {recipe.batch_size}, expected a multiple of the {world.size} processes")
    with _write_faults(run), process_group(world, device):
        selection = select_pictures(recipe, data, label_table)
        store, held_out = _open_pictures(selection, recipe, data, run, world, max_unreadable)
        steps_per_epoch = count_steps(len(store), recipe.batch_size, data, recipe.repeats)
        labels = selection.training_labels(recipe, store.paths)
        model, optimizer, state = start_or_resume(
            recipe,
            run,
            data,
            store,
            device,
            world,
            labels=labels.digest if labels is not None else "",
            held_out=held_out_digest(held_out[0].paths, held_out[1]) if held_out is not None else "",
        )
        if world.is_first:
            _say_what_labels(selection, labels, label_table, run)
        if compiled:
            model.base.backbone.compile()
            model.momentum.backbone.compile()
        num_steps = recipe.epochs * steps_per_epoch
        last = num_steps if max_steps is None else min(num_steps, max_steps)
        step, totals = state.step, None
        training_step = TrainingStep(model, optimizer, recipe, device, world)
        loading = batches(
            store,
            range(step, last),
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            world=world,
            device=device,
            repeats=recipe.repeats,
            label_NR=torch.from_numpy(labels.number_NR) if labels is not None else None,
            pictures_per_label=recipe.pictures_per_label,
        )
        progress = TrainingProgress(recipe, num_steps, steps_per_epoch, step, quiet=quiet or not world.is_first)
        monitor = Monitor(model, store, held_out, recipe.feature, recipe.image_size, device)
        record = RunRecord(run, monitor, state, steps_per_epoch, active=world.is_first)
        with _stop_signals() as stop, progress, record, closing(loading):
            if world.is_first:
                save_recipe(recipe, run / "recipe.toml")
            saver = _Saver(run, model, optimizer, record, keep_last)
            for batch in loading:
                epoch, position = divmod(step, steps_per_epoch)
                settings = settings_at(step, num_steps, recipe)
                totals = training_step(batch, epoch, position, settings, stop=stop.is_set())
                step += 1
                monitor.forget_whitening()
                progress.advance(step, totals)
                is_stopping = totals.stop or step == last
                record.step(step, totals, lr=settings.lr, momentum=settings.momentum, is_stopping=is_stopping)
                saver.save_if_due(step)
                if totals.stop:
                    break
            has_learnt = world.is_first and monitor.learn_whitening()
            saver.save(step, anew=has_learnt)
        wait_for_all()
    return RunResult(step, num_steps, totals is not None and totals.stop, record.best_map)


class _Saver:
    """Writes the checkpoints of a run, in the first process only."""

    def __init__(self, run: Path, model: LoDisc, optimizer: AdamW, record: RunRecord, keep_last: int) -> None:
        self.run, self.model, self.optimizer, self.record, self.keep_last = run, model, optimizer, record, keep_last
        self.saved_step, self.saved_at = record.first_step, time.monotonic()

    def save_if_due(self, step: int) -> None:
        """Save if the last checkpoint is older than SAVE_EVERY_S, and the best one when it is the best."""
        if self.record.is_best:
            self._write(step, None, BEST_NAME)
        if time.monotonic() - self.saved_at > SAVE_EVERY_S:
            self.save(step)

    def save(self, step: int, *, anew: bool = False) -> None:
        """Save, unless this step is saved already and nothing has become known since."""
        if step == self.saved_step and not anew and (self.run / CHECKPOINT_NAME).is_file():
            return
        self._write(step, self.optimizer, CHECKPOINT_NAME)
        self.saved_step, self.saved_at = step, time.monotonic()

    def _write(self, step: int, optimizer: AdamW | None, name: str) -> None:
        if self.record.active:
            state = self.record.state(step)
            save_checkpoint(self.run, self.model, optimizer, state, keep_last=self.keep_last, name=name)


def _say_what_labels(selection: Selection, labels: TrainingLabels | None, table: Path | None, run: Path) -> None:
    """Labels are never read in silence: one line on the terminal, and in the run's folder for its report."""
    if selection.unknown:
        logger.warning(
            "%d paths of %s are no picture of the data (the first: %s)",
            len(selection.unknown),
            table,
            selection.unknown[0],
        )
    if labels is not None:
        logger.warning("%s", labels.summary)
        (run / LABELS_NAME).write_text(labels.summary + "\n", encoding="utf-8")


def _open_pictures(
    selection: Selection, recipe: Recipe, data: Path, run: Path, world: World, max_unreadable: float
) -> tuple[PictureStore, tuple[PictureStore, list[str]] | None]:
    """The training pictures, and the held-out ones with their labels; decoded once on each machine."""
    division = selection.division

    def open_store(listing: Listing, folder: Path) -> PictureStore:
        return open_picture_store(listing, data, folder, recipe.image_size, max_unreadable=max_unreadable)

    def open_both() -> tuple[PictureStore, tuple[PictureStore, list[str]] | None]:
        store = open_store(division.trained, run / "pictures")
        if division.held_out is None:
            return store, None
        held_out = open_store(division.held_out, run / "pictures" / "held_out")
        names = (path.relative_to(data).as_posix() for path in division.held_out.paths)
        label_of = dict(zip(names, division.held_out.labels, strict=True))
        return store, (held_out, [str(label_of[path]) for path in held_out.paths])

    # The first process decodes; then the first of each other machine, which finds it done if they share the folder.
    if world.is_first:
        opened = open_both()
    wait_for_all()
    if not world.is_first and world.local_rank == 0:
        opened = open_both()
    wait_for_all()
    if not world.is_first and world.local_rank != 0:
        opened = open_both()
    return opened


@contextmanager
def _write_faults(run: Path) -> Iterator[None]:
    """A full disk, wherever a run writes, told in one line as one while saving a checkpoint is."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{error.filename or run} could not be written: {error.strerror or error}; free some space and run the "
            "same command to resume from the last checkpoint"
        ) from error


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
