"""The bar that a terminal shows while a run trains."""

from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class ProgressBar:
    """A bar with what is done, the time since the start and the time left."""

    def __init__(self, first: float) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        self._task = self._bar.add_task("training", total=1.0)
        self._bar.update(self._task, completed=first)

    def start(self) -> None:
        """Show it."""
        self._bar.start()

    def update(self, work: float, text: str) -> None:
        """Show that so much of the work is done."""
        self._bar.update(self._task, completed=work, description=text)

    def stop(self) -> None:
        """Leave it as it is."""
        self._bar.stop()
