"""Pictures of many requests, run through the encoder without a timer: what waits is taken the moment there is room.

So a lone request never waits for company. On a GPU, one run takes all that waits, and batches grow by themselves to
what arrived during the last run. On a CPU a batch gains nothing over its pictures one by one, and the threads of one
run wait for each other at every layer, for the slowest, whenever the machine has something else to do. So there the
cores are shared in two ways: fewer pictures than cores are one run on all cores, which answers them soonest; more are
run side by side, each on a core of its own, which answers most of them.

Guarantees: pictures begin in the order in which they came; a picture whose future was cancelled before its turn is
never encoded; `close` ends every future that is still open.

Not covered: a limit on what waits (`pipeline.py`), and pictures of different shapes.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.image_encoder import ImageEncoder
from index.answers.local_features import PivotalPatches, pivotal_patches

# B pictures in a batch, S side in pixels, D embedding dim, P patches.


@dataclass(frozen=True)
class BatchRow:
    """One picture's row of a batch.

    Attributes:
        embedding_D: L2-normalised, float32.
        attention_P: fused patch scores that sum to 1, row-major over the patch grid; None where not asked
            for.
        patches: its pivotal patches; None where not asked for.
        queue_s: seconds between submission and the start of its batch.
        encode_s: seconds that its batch took.
    """

    embedding_D: NDArray[np.float32]
    attention_P: NDArray[np.float32] | None
    patches: PivotalPatches | None
    queue_s: float
    encode_s: float


@dataclass(frozen=True)
class _Waiting:
    pixels_SS3: NDArray[np.uint8]
    attention: bool
    patches: bool
    since_s: float
    future: "Future[BatchRow]"


class Batcher:
    """The threads in front of an encoder.

    Args:
        encoder: runs what waits at once.
        max_batch: most pictures in one run of it.
        on_batch: told the size and the seconds of each run, from the thread that ran it.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        *,
        max_batch: int,
        on_batch: Callable[[int, float], None] = lambda _size, _seconds: None,
    ) -> None:
        self._encoder, self._max_batch, self._on_batch = encoder, max_batch, on_batch
        self._one_core: ImageEncoder | None = None
        self._num_cores = 1
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._num_side_by_side = 0
        self._on_all_cores = False
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._start_thread()

    def run_side_by_side(self, one_core: ImageEncoder, num_cores: int) -> None:
        """From now on, run many pictures side by side. Once at most.

        Args:
            one_core: the same encoder on one thread.
            num_cores: runs of it at once.
        """
        with self._changed:
            if self._closed:
                return
            self._one_core, self._num_cores = one_core, num_cores
            for _ in range(num_cores - 1):
                self._start_thread()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name=f"lodisc-batcher-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def submit(
        self, pixels_SS3: NDArray[np.uint8], *, attention: bool = False, patches: bool = False
    ) -> "Future[BatchRow]":
        """Queue one preprocessed picture, uint8 RGB of the encoder's own size.

        Raises:
            RuntimeError: the batcher is closed.
        """
        waiting = _Waiting(pixels_SS3, attention, patches, time.perf_counter(), Future())
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._waiting.append(waiting)
            self._changed.notify()
        return waiting.future

    def close(self) -> None:
        """Finish the run in hand, cancel what waits, end the thread."""
        with self._changed:
            self._closed = True
            abandoned = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for waiting in abandoned:
            waiting.future.cancel()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            encoder, batch = taken
            if batch:
                self._encode(encoder, batch)
            with self._changed:
                if encoder is self._one_core:
                    self._num_side_by_side -= 1
                else:
                    self._on_all_cores = False
                self._changed.notify_all()

    def _take(self) -> tuple[ImageEncoder, list[_Waiting]] | None:
        """Wait for pictures and room, and say what to run; None once closed."""
        with self._changed:
            while True:
                if self._closed:
                    return None
                if self._waiting and not self._on_all_cores:
                    if self._one_core is not None and self._num_side_by_side + len(self._waiting) >= self._num_cores:
                        self._num_side_by_side += 1
                        return self._one_core, self._begin(1)
                    if not self._num_side_by_side:
                        self._on_all_cores = True
                        return self._encoder, self._begin(self._max_batch)
                self._changed.wait()

    def _begin(self, limit: int) -> list[_Waiting]:
        """The first that wait, without the cancelled."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < limit:
            waiting = self._waiting.popleft()
            if waiting.future.set_running_or_notify_cancel():
                batch.append(waiting)
        return batch

    def _encode(self, encoder: ImageEncoder, batch: list[_Waiting]) -> None:
        start_s = time.perf_counter()
        try:
            encoded = encoder.encode(
                np.stack([waiting.pixels_SS3 for waiting in batch]),
                attention=any(waiting.attention or waiting.patches for waiting in batch),
                tokens=any(waiting.patches for waiting in batch),
            )
        except BaseException as error:
            # Whatever it is, somebody waits for each of these futures, and this thread must live on.
            for waiting in batch:
                waiting.future.set_exception(error)
            return
        encode_s = time.perf_counter() - start_s
        for row, waiting in enumerate(batch):
            attention_P = patches = None
            if waiting.attention and encoded.attention_BP is not None:
                attention_P = encoded.attention_BP[row]
            if waiting.patches and encoded.attention_BP is not None and encoded.tokens_BPE is not None:
                patches = pivotal_patches(encoded.attention_BP[row], encoded.tokens_BPE[row])
            waiting.future.set_result(
                BatchRow(encoded.embedding_BD[row], attention_P, patches, start_s - waiting.since_s, encode_s)
            )
        self._on_batch(len(batch), encode_s)
