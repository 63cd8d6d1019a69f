"""The run's figures and mask pictures as TensorBoard's event files, in RUN/tensorboard."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tensorboardX import SummaryWriter


class TensorBoardLog:
    """Event files of one run. A resumed run continues its curves: what was logged beyond `first_step` is hidden.

    Args:
        run: folder of the run.
        first_step: the step that this session begins at.
    """

    def __init__(self, run: Path, first_step: int) -> None:
        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=first_step + 1 if first_step else None)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to each named curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, pixels_HW3: NDArray[np.uint8]) -> None:
        """Add an RGB picture, uint8, shape (H, W, 3)."""
        self._writer.add_image(name, pixels_HW3, step, dataformats="HWC")

    def close(self) -> None:
        """Write out what is still in memory."""
        self._writer.close()
