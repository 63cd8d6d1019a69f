"""Pictures of many requests, run through one encoder session in batches, without a timer.

A lone thread takes whatever is waiting the moment the session is free. So a lone request never waits for
company, and under load batches grow by themselves to what arrived during the last run. On a CPU batches gain
little (a batch of 8 takes eight times one picture), which is why `max_batch` is small there: a large batch
would only make its first picture wait for its last.

Guarantees: pictures are encoded in the order in which they came; a picture whose future was cancelled before
its turn is never encoded; `close` ends every future that is still open.

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
    """One thread in front of one encoder.

    Args:
        encoder: the session.
        max_batch: most pictures in one run.
        on_batch: told the size and the seconds of each run, from the batcher's thread.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        *,
        max_batch: int,
        on_batch: Callable[[int, float], None] = lambda _size, _seconds: None,
    ) -> None:
        self._encoder = encoder
        self._max_batch = max_batch
        self._on_batch = on_batch
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="lodisc-batcher", daemon=True)
        self._thread.start()

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
            self._changed.notify()
        for waiting in abandoned:
            waiting.future.cancel()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            self._encode(batch)

    def _next_batch(self) -> list[_Waiting]:
        """What waits, up to the limit and without the cancelled; empty once closed."""
        batch: list[_Waiting] = []
        with self._changed:
            while not batch:
                while not self._waiting:
                    if self._closed:
                        return []
                    self._changed.wait()
                while self._waiting and len(batch) < self._max_batch:
                    waiting = self._waiting.popleft()
                    if waiting.future.set_running_or_notify_cancel():
                        batch.append(waiting)
        return batch

    def _encode(self, batch: list[_Waiting]) -> None:
        start_s = time.perf_counter()
        try:
            encoded = self._encoder.encode(
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
