"""The calibration that a process answers by: read once, and again when another process has written a newer one."""

import logging
import os
import threading
from pathlib import Path

from encoder.errors import CatalogueError
from encoder.manifest import Manifest
from index.answers.calibration import CALIBRATION_NAME, Calibration, read_calibration

logger = logging.getLogger(__name__)


class CalibrationFollower:
    """The calibration of one catalogue. Any number of threads may ask for it.

    Args:
        folder: of the catalogue.
        manifest: of the encoder that filled it.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder, self._manifest = folder, manifest
        self._lock = threading.Lock()
        self._known: tuple[tuple[int, ...] | None, Calibration | None] = (None, None)

    def current(self) -> Calibration | None:
        """The calibration as it is now, at the price of a `stat`; None where there is none.

        One that cannot be used is said in the log, once, and searches are answered without.
        """
        seen = _identity(self._folder)
        known_as, known = self._known
        if seen == known_as:
            return known
        with self._lock:
            if seen != self._known[0]:
                self._known = (seen, self._read())
            return self._known[1]

    def _read(self) -> Calibration | None:
        try:
            return read_calibration(self._folder, self._manifest)
        except CatalogueError as error:
            logger.warning("answers are not calibrated: %s", error)
            return None


def _identity(folder: Path) -> tuple[int, ...] | None:
    """What changes with the file, None without one."""
    try:
        found = os.stat(folder / CALIBRATION_NAME)  # noqa: PTH116  # half the time of Path.stat, at every search
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
