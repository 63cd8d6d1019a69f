"""Bytes to embeddings: a decode pool in front of the batcher, each picture failing alone.

A request's pictures are decoded side by side and join the batcher as they are ready. A picture that cannot be
decoded becomes a `PictureError` at its position; the others go on. What is in flight is bounded: beyond the
limit a request is refused with 429 at once, before anything of it is decoded, so that the queue never grows
past what this process can answer in a few seconds.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from encoder.errors import PictureError
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess
from service.batcher import Batcher
from service.metrics import Metrics
from service.problems import OverloadedError
from service.settings import Settings

# S side in pixels, D embedding dim, P patches.


@dataclass(frozen=True)
class EncodedPicture:
    """What the encoder makes of one picture.

    Attributes:
        embedding_D: L2-normalised, float32.
        attention_P: fused patch scores that sum to 1, row-major over the patch grid; None where not asked
            for.
        box: the region that the encoder saw, as shares of the upright picture's width and height: left, top,
            right, bottom. The patch grid lies over this region.
    """

    embedding_D: NDArray[np.float32]
    attention_P: NDArray[np.float32] | None
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class _Decoded:
    pixels_SS3: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    seconds: float


@dataclass
class Stages:
    """Milliseconds of one request in each stage; of several pictures the slowest, as they run abreast."""

    milliseconds: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, seconds: float) -> None:
        """Keep the longest time of a stage."""
        self.milliseconds[stage] = max(self.milliseconds.get(stage, 0.0), round(seconds * 1e3, 2))


class Pipeline:
    """Decode pool and batcher of one process.

    Args:
        encoder: the session, already loaded.
        settings: limits and threads.
        metrics: told of stages, batches and refused pictures.
    """

    def __init__(self, encoder: ImageEncoder, settings: Settings, metrics: Metrics) -> None:
        self.encoder = encoder
        self._settings = settings
        self._metrics = metrics
        self._num_in_flight = 0
        self._decoders = ThreadPoolExecutor(settings.num_decode_threads, "lodisc-decode")
        self._batcher = Batcher(encoder, max_batch=settings.max_batch, on_batch=metrics.batch)

    def close(self) -> None:
        """End both pools; what is still queued is cancelled."""
        self._decoders.shutdown(cancel_futures=True)
        self._batcher.close()

    async def encode(
        self, pictures: Sequence[bytes], *, attention: bool = False, stages: Stages | None = None
    ) -> list[EncodedPicture | PictureError]:
        """Encode the pictures of one request, in their order.

        Raises:
            OverloadedError: this many pictures more are over the limit of what may be in flight.
        """
        limit = self._settings.max_queued_pictures
        if self._num_in_flight + len(pictures) > limit:
            raise OverloadedError(
                f"{self._num_in_flight} pictures are in flight, {limit} are the most; try again in a second",
                detail={"in_flight": self._num_in_flight, "limit": limit},
            )
        self._num_in_flight += len(pictures)
        self._metrics.in_flight.inc(len(pictures))
        try:
            return await asyncio.gather(
                *(
                    self._encode_one(data, position, attention, stages or Stages())
                    for position, data in enumerate(pictures)
                )
            )
        finally:
            self._num_in_flight -= len(pictures)
            self._metrics.in_flight.dec(len(pictures))

    async def _encode_one(
        self, data: bytes, position: int, attention: bool, stages: Stages
    ) -> EncodedPicture | PictureError:
        loop = asyncio.get_running_loop()
        try:
            decoded = await loop.run_in_executor(self._decoders, self._decode, data)
        except PictureError as error:
            error.position = position
            self._metrics.pictures.labels(outcome=error.code).inc()
            return error
        row = await asyncio.wrap_future(self._batcher.submit(decoded.pixels_SS3, attention=attention))
        for stage, seconds in (("decode", decoded.seconds), ("queue", row.queue_s), ("encode", row.encode_s)):
            stages.add(stage, seconds)
            self._metrics.stage_seconds.labels(stage=stage).observe(seconds)
        self._metrics.pictures.labels(outcome="ok").inc()
        return EncodedPicture(row.embedding_D, row.attention_P, decoded.box)

    def _decode(self, data: bytes) -> _Decoded:
        start_s = time.perf_counter()
        preprocessing = self.encoder.manifest.preprocessing
        image = decode_picture(data, max_pixels=self._settings.max_pixels, min_side_wanted=preprocessing.image_size)
        left, top, right, bottom = preprocessing.crop_box(image.width, image.height)
        box = (left / image.width, top / image.height, right / image.width, bottom / image.height)
        return _Decoded(preprocess(image, preprocessing), box, time.perf_counter() - start_s)
