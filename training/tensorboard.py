"""The run's figures and mask pictures as TensorBoard's event files, in RUN/tensorboard.

Events are written by the thread that trains, through tensorboardX's file writer: its usual front hands them to a queue
and a thread of its own, and when that thread meets a full disk it dies, the queue fills, and training waits for ever.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import image, scalar


class TensorBoardLog:
    """Event files of one run. A resumed run continues its curves: what was logged beyond `first_step` is hidden.

    Args:
        run: folder of the run.
        first_step: the step that this session begins at.

    Raises:
        OSError: from any method, the file cannot be written.
    """

    def __init__(self, run: Path, first_step: int) -> None:
        folder = run / "tensorboard"
        folder.mkdir(exist_ok=True)
        # The step in the name keeps apart two sessions that begin within one second.
        self._writer = EventsWriter(str(folder / "events"), f".{first_step:08d}")
        if first_step:
            self._write(first_step + 1, session_log=SessionLog(status=SessionLog.START))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to each named curve."""
        for name, value in values.items():
            self._write(step, summary=scalar(name, value))

    def picture(self, step: int, name: str, pixels_HW3: NDArray[np.uint8]) -> None:
        """Add an RGB picture, uint8, shape (H, W, 3)."""
        self._write(step, summary=image(name, pixels_HW3, dataformats="HWC"))

    def flush(self) -> None:
        """Let readers see what was added."""
        self._writer.flush()

    def close(self) -> None:
        """Write out what is still in memory."""
        self._writer.close()

    def _write(self, step: int, **content: object) -> None:
        self._writer.write_event(Event(wall_time=time.time(), step=step, **content))
