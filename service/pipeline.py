"""Bytes to embeddings: a decode pool in front of the batcher, each picture failing alone.

A request's pictures are decoded side by side and join the batcher as they are ready. A picture that cannot be
decoded becomes a `PictureError` at its position; the others go on. What is in flight is bounded and divided among
the clients (`fair_queue.py`); cancelling `encode` takes what has not begun out of every queue. Bytes that were asked
for lately are not encoded again (`embedding_cache.py`).
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from encoder.errors import PictureError
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess
from index.answers.influence import blurred, influence
from index.answers.local_features import NUM_PATCHES, PivotalPatches
from service.batcher import Batcher
from service.embedding_cache import EmbeddingCache, EncodedPicture
from service.fair_queue import FairQueue
from service.metrics import Metrics
from service.settings import Settings

# S side in pixels.

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class _Decoded:
    key: bytes  # SHA-256 of the file; empty where nothing is kept
    pixels_SS3: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    seconds: float


@dataclass(frozen=True)
class _Extras:
    """What is wanted of a picture beside its embedding."""

    attention: bool
    patches: bool
    influence: bool  # of the patches

    @property
    def cost(self) -> int:
        """How many encodings a picture takes."""
        return 1 + NUM_PATCHES if self.influence else 1


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
        # As many as keep the decoders busy and two pictures for each core, or two batches; the others wait in their
        # clients' turns.
        places = settings.num_decode_threads + 2 * max(settings.max_batch, settings.num_threads)
        self._queue = FairQueue(num_places=places, limit=settings.max_queued_pictures, on_waiting=metrics.waiting.inc)
        self._cache = EmbeddingCache(settings.cache_mb * 1_000_000) if settings.cache_mb else None
        self._decoders = ThreadPoolExecutor(settings.num_decode_threads, "lodisc-decode")
        self._batcher = Batcher(encoder, max_batch=settings.max_batch, on_batch=metrics.batch)

    def require_room(self, client: str) -> None:
        """See that one picture more would be taken now.

        Raises:
            OverloadedError: it would not.
        """
        self._queue.require_room(client)

    def prepare_for_many(self, load: Callable[[int], ImageEncoder]) -> None:
        """Load what only many pictures at once need, once the first can be answered without.

        Args:
            load: gives the encoder on so many threads.
        """
        num_cores = self._settings.num_threads
        if self.encoder.on_cpu and num_cores > 1:
            self._batcher.run_side_by_side(load(1), num_cores)

    def close(self) -> None:
        """End both pools; what is still queued is cancelled."""
        self._decoders.shutdown(cancel_futures=True)
        self._batcher.close()

    async def encode(
        self,
        pictures: Sequence[bytes],
        *,
        client: str,
        attention: bool = False,
        patches: bool = False,
        influence: bool = False,
        stages: Stages | None = None,
    ) -> list[EncodedPicture | PictureError]:
        """Encode the pictures of one request, in their order.

        Args:
            pictures: their files.
            client: who asks; clients take turns.
            attention: whether patch scores are wanted too.
            patches: whether pivotal patches are.
            influence: whether it is to be measured what each of them settles, which takes a run for each.
            stages: told how long each stage took.

        Raises:
            OverloadedError: what these pictures cost is over the limit of what may be in flight.
        """
        extras = _Extras(attention, patches, influence)
        cost = len(pictures) * extras.cost
        with self._queue.admitted(client, cost):
            self._metrics.in_flight.inc(cost)
            try:
                return await self._encode_all(pictures, client, extras, stages or Stages())
            finally:
                self._metrics.in_flight.dec(cost)

    async def in_decoder(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run what decodes a picture once more among the decoders, so that never more are decoded at once."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, partial(call, *args, **kwargs))

    async def _encode_all(
        self, pictures: Sequence[bytes], client: str, extras: _Extras, stages: Stages
    ) -> list[EncodedPicture | PictureError]:
        try:
            async with asyncio.TaskGroup() as group:  # cancelled as one
                tasks = [
                    group.create_task(self._encode_one(data, position, client, extras, stages))
                    for position, data in enumerate(pictures)
                ]
        except ExceptionGroup as failed:  # what is no fault of a picture fails the request: the first tells why
            raise failed.exceptions[0] from failed
        return [task.result() for task in tasks]

    async def _encode_one(
        self, data: bytes, position: int, client: str, extras: _Extras, stages: Stages
    ) -> EncodedPicture | PictureError:
        loop = asyncio.get_running_loop()
        since_s = time.perf_counter()
        async with self._queue.place(client, extras.cost):
            waited_s = time.perf_counter() - since_s
            try:
                decoded = await loop.run_in_executor(self._decoders, self._decode, data, extras)
            except PictureError as error:
                error.position = position
                self._metrics.pictures.labels(outcome=error.code).inc()
                return error
            self._metrics.pictures.labels(outcome="ok").inc()
            if isinstance(decoded, EncodedPicture):
                return decoded
            waiting = self._batcher.submit(decoded.pixels_SS3, attention=extras.attention, patches=extras.patches)
            row = await asyncio.wrap_future(waiting)
            patches = row.patches
            if extras.influence and patches is not None:
                patches = await self._with_influence(decoded.pixels_SS3, row.embedding_D, patches)
        queue_s = waited_s + row.queue_s
        for stage, seconds in (("decode", decoded.seconds), ("queue", queue_s), ("encode", row.encode_s)):
            stages.add(stage, seconds)
            self._metrics.stage_seconds.labels(stage=stage).observe(seconds)
        encoded = EncodedPicture(row.embedding_D, row.attention_P, decoded.box, patches)
        if self._cache is not None:
            self._cache.put(decoded.key, encoded)
        return encoded

    async def _with_influence(
        self, pixels_SS3: NDArray[np.uint8], embedding_D: NDArray[np.float32], patches: PivotalPatches
    ) -> PivotalPatches:
        """The patches with what each settles. Other pictures' turns in the batcher come between."""
        grid = self.encoder.manifest.patch_grid
        assert grid is not None  # an encoder with patch features has one
        rows = [asyncio.wrap_future(self._batcher.submit(one)) for one in blurred(pixels_SS3, patches, grid)]
        moved_PD = np.stack([row.embedding_D for row in await asyncio.gather(*rows)])
        return replace(patches, influence_P=influence(embedding_D, moved_PD))

    def _known(self, key: bytes, extras: _Extras) -> EncodedPicture | None:
        if self._cache is None:
            return None
        found = self._cache.get(key, attention=extras.attention, patches=extras.patches, influence=extras.influence)
        self._metrics.cache.labels(outcome="miss" if found is None else "hit").inc()
        return found

    def _decode(self, data: bytes, extras: _Extras) -> _Decoded | EncodedPicture:
        start_s = time.perf_counter()
        key = hashlib.sha256(data).digest() if self._cache is not None else b""
        known = self._known(key, extras)
        if known is not None:
            return known
        preprocessing = self.encoder.manifest.preprocessing
        image = decode_picture(data, max_pixels=self._settings.max_pixels, min_side_wanted=preprocessing.image_size)
        left, top, right, bottom = preprocessing.crop_box(image.width, image.height)
        box = (left / image.width, top / image.height, right / image.width, bottom / image.height)
        return _Decoded(key, preprocess(image, preprocessing), box, time.perf_counter() - start_s)
