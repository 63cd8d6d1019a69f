"""`rejected.csv`: what a bulk run could not use, and why.

It is written as the run goes and takes its name at the end, so it is whole, never an older run's, and as long as it has
to be without being held in memory.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from encoder.errors import CatalogueError
from index.schema import PARTIAL_PREFIX
from index.text import printable

REJECTED_NAME = "rejected.csv"
HEADER = ("path", "reason")
MANY = 100  # that are also kept for the report


class Rejected:
    """The rejections of one run, for the catalogue folder `path`. Use as a context manager.

    Args:
        path: of the catalogue.
        keep: of which locations the rows of the earlier file are kept; of none if None.

    Attributes:
        count: of all.
        first: the first MANY, location and reason.

    Raises:
        CatalogueError: from every method, if the file cannot be written.
    """

    def __init__(self, path: Path, keep: Callable[[str], bool] | None = None) -> None:
        self._path, self._keep = path / REJECTED_NAME, keep
        self._partial = path / f"{PARTIAL_PREFIX}{REJECTED_NAME}"
        self.count = 0
        self.first: list[tuple[str, str]] = []

    def __enter__(self) -> "Rejected":
        try:
            self._file = self._partial.open("w", newline="", encoding="utf-8")
            self._writer = csv.writer(self._file)
            self._writer.writerow(HEADER)
        except OSError as error:
            raise self._told(error) from error
        return self

    def add(self, location: str, reason: str) -> None:
        """Note one."""
        row = (printable(location), printable(reason))
        self.count += 1
        if self.count <= MANY:
            self.first.append(row)
        try:
            self._writer.writerow(row)
        except OSError as error:
            raise self._told(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Publish what there is, also of a run that failed: that is when it is wanted most."""
        try:
            with self._file:
                if self._keep is not None:
                    self._keep_earlier(self._keep)
            self._partial.replace(self._path)
        except OSError as fault:
            raise self._told(fault) from fault

    def _keep_earlier(self, keep: Callable[[str], bool]) -> None:
        if not self._path.exists():
            return
        with self._path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            next(rows, None)
            self._writer.writerows(row for row in rows if row and keep(row[0]))

    def _told(self, error: OSError) -> CatalogueError:
        return CatalogueError(f"{self._path} cannot be written: {error.strerror or error}")
