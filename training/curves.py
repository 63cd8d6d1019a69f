"""Where a run's curves go beside log.jsonl: TensorBoard's files, where tensorboardX is installed."""

import importlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)


class Curves(Protocol):
    """Takes figures and pictures by the step; any method may raise OSError where it writes."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to each named curve."""

    def picture(self, step: int, name: str, pixels_HW3: NDArray[np.uint8]) -> None:
        """Add an RGB picture, uint8, shape (H, W, 3)."""

    def flush(self) -> None:
        """Let readers see what was added."""

    def close(self) -> None:
        """Write out what is still in memory."""


class NoCurves:
    """Keeps nothing."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Pass over a point."""

    def picture(self, step: int, name: str, pixels_HW3: NDArray[np.uint8]) -> None:
        """Pass over a picture."""

    def flush(self) -> None:
        """There is nothing to write."""

    def close(self) -> None:
        """There is nothing to write."""


def open_curves(run: Path, first_step: int) -> Curves:
    """TensorBoard's files of a run; where tensorboardX is missing nothing, and a warning that says so.

    Raises:
        OSError: a file cannot be written.
    """
    try:
        tensorboard = importlib.import_module("training.tensorboard")
    except ModuleNotFoundError as error:
        logger.warning(
            "%s is not installed, so there will be no %s; log.jsonl and report.html have the same figures",
            error.name,
            run / "tensorboard",
        )
        return NoCurves()
    curves: Curves = tensorboard.TensorBoardLog(run, first_step)
    return curves
