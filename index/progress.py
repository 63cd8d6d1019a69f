"""What a person sees while a catalogue is filled or gone through: done, rate, time left, the stage that limits."""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_LINE_EVERY_S = 5.0


class Stages:
    """Seconds that each stage of the pipeline has been busy, counted over all its workers.

    Args:
        pools: stages that share workers, and how many workers; a stage that is not named has one of its own.
    """

    def __init__(self, pools: Mapping[tuple[str, ...], int]) -> None:
        self._pool_of = {stage: pool for pool in pools for stage in pool}
        self._workers = {stage: workers for pool, workers in pools.items() for stage in pool}
        self._busy_s: dict[str, float] = defaultdict(float)
        self._lock = Lock()

    @contextmanager
    def busy(self, stage: str) -> Iterator[None]:
        """Count the time of the block for a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - started)

    def add(self, stage: str, seconds: float) -> None:
        """Count time that a worker elsewhere has measured."""
        with self._lock:
            self._busy_s[stage] += seconds

    def load(self) -> dict[str, float]:
        """Seconds that each stage needs at the least: its busy time over the number of its workers."""
        with self._lock:
            return {stage: seconds / self._workers.get(stage, 1) for stage, seconds in self._busy_s.items()}

    def limiting(self) -> str | None:
        """The stage that the others wait for: of the workers with most to do, what takes them longest."""
        load = self.load()
        pool_load: dict[tuple[str, ...], float] = defaultdict(float)
        for stage, seconds in load.items():
            pool_load[self._pool_of.get(stage, (stage,))] += seconds
        if not load:
            return None
        busiest = max(pool_load, key=pool_load.__getitem__)
        return max(busiest, key=lambda stage: load.get(stage, 0.0))


class CountedProgress:
    """A bar on a terminal, a line every few seconds elsewhere, nothing when quiet.

    Args:
        doing: one word for what is done.
        total: None if nobody knows.
        quiet: show nothing.
    """

    def __init__(self, doing: str, total: int | None, *, quiet: bool) -> None:
        self.total, self.quiet = total, quiet
        self.done = 0
        self.started = self.last_line = time.monotonic()
        self.bar: Progress | None = None
        if not quiet and sys.stderr.isatty():
            self.bar = Progress(
                TextColumn(doing), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"),
                TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True),
            )  # fmt: skip
            self.task = self.bar.add_task("", total=total)

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def advance_to(self, done: int) -> None:
        """Show that so many are dealt with."""
        self.done = done
        now = time.monotonic()
        rate = self.done / max(now - self.started, 1e-9)
        text = self._text(rate)
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, description=text)
        elif not self.quiet and now - self.last_line > PLAIN_LINE_EVERY_S:
            self.last_line = now
            if self.total is None:
                sys.stderr.write(f"{self.done}  {text}\n")
            else:
                sys.stderr.write(f"{self.done}/{self.total}  {text}, {(self.total - self.done) / rate:.0f} s left\n")
            sys.stderr.flush()

    def _text(self, rate: float) -> str:
        """What stands beside the count; `rate` is a second."""
        return f"{rate:.0f}/s"


class BuildProgress(CountedProgress):
    """Of a bulk run: also says the stage that limits it."""

    def __init__(self, total: int | None, stages: Stages, *, quiet: bool) -> None:
        super().__init__("indexing", total, quiet=quiet)
        self.stages = stages

    def _text(self, rate: float) -> str:
        return f"{rate:.0f} pictures/s, limited by {self.stages.limiting() or 'nothing yet'}"
