"""What a serving process holds: encoder, catalogue, pools.

It is opened in the background, so that probes answer meanwhile: `/livez` is true from the first moment;
`/readyz` once the bundle is verified, the catalogue open and one picture through the encoder. If they cannot
be opened the reason stands in the 503 of `/readyz` and in the log, and opening is tried again every few
seconds: a catalogue that is mounted late, or mended, needs no restart.

Another catalogue may take the place of the one that is served, with another bundle: a symbolic link is pointed at a
new folder, or the folder is filled anew. It is noticed within WATCH_S, opened and warmed beside the old one, and
answers from then on; the old one is closed when no request can hold it any more. If it cannot be opened the old one
goes on answering, and opening is tried again here too.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np

from encoder.bundle import Bundle
from encoder.errors import LodiscError
from encoder.image_encoder import ImageEncoder
from encoder.manifest import Manifest
from index.answers.follower import CalibrationFollower
from index.catalogue import Catalogue
from index.compaction import Upkeep
from index.open_catalogue import open_catalogue
from index.schema import DATABASE_NAME
from index.sqlite_catalogue import SqliteCatalogue
from service.bundle_choice import choose_bundle
from service.metrics import Metrics
from service.pipeline import Pipeline
from service.problems import NotReadyError
from service.settings import Settings

logger = logging.getLogger("bentoml.lodisc")

RETRY_S = 5.0
WATCH_S = 2.0
NUM_CATALOGUE_THREADS = 4
FAILED = "the encoder or the catalogue failed to open; the log of this server says why"

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Serving:
    """Everything that is open while the process answers."""

    bundle: Bundle
    catalogue: Catalogue
    calibration: CalibrationFollower
    pipeline: Pipeline
    load: Callable[[int], ImageEncoder]  # the encoder on so many threads
    upkeep: Upkeep | None  # None where the store keeps its index by itself
    identity: tuple[int, int] | None

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.bundle.manifest


class Runtime:
    """Opens and closes what the process serves.

    Args:
        settings: which catalogue and bundle, and the limits.
        metrics: of this process.
        device: number of the GPU to run on, where one is asked for.
    """

    def __init__(self, settings: Settings, metrics: Metrics, device: int = 0) -> None:
        self.settings = settings
        self.device = device
        self.metrics = metrics
        self._serving: Serving | None = None
        self._reason = "the encoder and the catalogue are being opened"
        self._draining = False
        self._opening: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._ending = asyncio.Event()
        self._retired: set[asyncio.Task[None]] = set()  # each closes what was served before, when it may
        self._catalogue_threads = ThreadPoolExecutor(NUM_CATALOGUE_THREADS, "lodisc-catalogue")

    @property
    def serving(self) -> Serving:
        """What is open.

        Raises:
            NotReadyError: not yet, or it cannot be; the message says why.
        """
        if self._serving is None:
            raise NotReadyError(self._reason)
        return self._serving

    def require_ready(self) -> None:
        """See that new requests are welcome.

        Raises:
            NotReadyError: nothing is open yet, or the process was told to stop.
        """
        if self._draining:
            raise NotReadyError("the server is shutting down")
        _ = self.serving

    def start(self) -> None:
        """Begin to open, in the background."""
        self._opening = asyncio.create_task(self._open_and_watch())

    async def tried(self) -> None:
        """Return once what is served is open, or could not be opened at the first attempt."""
        await self._tried.wait()

    def drain(self) -> None:
        """Say no at /readyz, and go on answering."""
        self._draining = True

    async def close(self) -> None:
        """Stop answering, then close what is open."""
        if self._opening is not None:
            self._opening.cancel()
            try:
                await self._opening
            except asyncio.CancelledError:
                pass  # as it was told
            except Exception:
                logger.exception("the catalogue was no longer watched")
        serving, self._serving, self._reason = self._serving, None, "the server is shutting down"
        self._ending.set()
        await asyncio.gather(*self._retired)
        if serving is not None:
            await asyncio.to_thread(_close, serving)
        self._catalogue_threads.shutdown(cancel_futures=True)

    async def in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a blocking call on the catalogue outside the event loop, in one of a few threads of its own."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._catalogue_threads, partial(call, *args, **kwargs))

    async def _open_and_watch(self) -> None:
        await self._open_until_it_works()
        await self._prepare_for_many()
        failed: tuple[int, int] | None = None
        reason, again_s = "", 0.0
        while True:
            await asyncio.sleep(WATCH_S)
            identity = await self.in_thread(_identity, self.settings.catalogue)
            waiting = identity == failed and time.monotonic() < again_s
            if waiting or identity in (None, self.serving.identity):
                continue
            try:
                fresh = await self._open_shielded()
            except Exception as error:
                if identity != failed:
                    self.metrics.swaps.labels(outcome="failed").inc()
                if (identity, str(error)) != (failed, reason):
                    # Of a bug of ours nobody else would report where it is.
                    say = logger.warning if isinstance(error, LodiscError) else logger.exception
                    say(
                        "another catalogue cannot be served; the old one still is, trying every %g s: %s",
                        RETRY_S,
                        error,
                    )
                failed, reason, again_s = identity, str(error), time.monotonic() + RETRY_S
            else:
                failed = None
                self._swap(fresh)
                await self._prepare_for_many()

    async def _prepare_for_many(self) -> None:
        """Load what many pictures at once need; where it fails, one run after another answers them too."""
        serving = self.serving
        try:
            await self.in_thread(serving.pipeline.prepare_for_many, serving.load)
        except LodiscError as error:
            logger.warning("pictures are not encoded side by side: %s", error)
        except Exception:
            logger.exception("pictures are not encoded side by side")

    def _swap(self, fresh: Serving) -> None:
        """Answer from another catalogue from now on."""
        old, self._serving = self.serving, fresh
        closing = asyncio.create_task(self._close_later(old))
        self._retired.add(closing)
        closing.add_done_callback(self._retired.discard)
        self.metrics.swaps.labels(outcome="done").inc()
        logger.info("now serving %s, encoder %s", fresh.catalogue.path, fresh.manifest.name)

    async def _close_later(self, old: Serving) -> None:
        # A request takes hold of what is served before it reads its body, and lets go within its deadline.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), self.settings.body_timeout_s + 2 * self.settings.deadline_s)
        await asyncio.to_thread(_close, old)

    async def _open_until_it_works(self) -> None:
        while self._serving is None:
            try:
                self._serving = await self._open_shielded()
            except LodiscError as error:
                if str(error) != self._reason:
                    logger.warning("cannot serve yet, trying every %g s: %s", RETRY_S, error)
                self._reason = str(error)
            except Exception:
                # A bug of ours. Nobody awaits this task, so what is not written here is never seen.
                if self._reason != FAILED:
                    logger.exception("cannot serve yet, trying every %g s", RETRY_S)
                self._reason = FAILED
            else:
                await self._say_ready(self._serving)
            self._tried.set()
            if self._serving is None:
                await asyncio.sleep(RETRY_S)

    async def _say_ready(self, serving: Serving) -> None:
        try:
            num_items = await self.in_thread(serving.catalogue.count)
        except Exception:  # a line of the log is no reason not to serve
            logger.exception("ready; the items could not be counted")
        else:
            logger.info("ready: %d items, bundle %s", num_items, serving.manifest.name)

    async def _open_shielded(self) -> Serving:
        """Open in a thread; if the process is told to stop meanwhile, close what was opened after all."""
        opening = asyncio.create_task(self.in_thread(open_serving, self.settings, self.metrics, self.device))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(LodiscError):
                _close(await opening)
            raise


def open_serving(settings: Settings, metrics: Metrics, device: int = 0) -> Serving:
    """Open bundle and catalogue and put one picture through, so that the first request pays for no set-up.

    Raises:
        NotReadyError: no catalogue was named.
        BundleError: the bundle is missing, damaged, or cannot run here.
        CatalogueError: the catalogue is missing, damaged, or was filled by another encoder.
    """
    if settings.catalogue is None:
        raise NotReadyError(
            "no catalogue was named; set LODISC_CATALOGUE to its folder, or use `lodisc serve CATALOGUE`"
        )
    with contextlib.ExitStack() as opened:
        identity = _identity(settings.catalogue)  # before it is opened: what comes between is a swap
        # Where a link points now, so that what is open stays one catalogue when it is pointed elsewhere.
        catalogue = opened.enter_context(open_catalogue(settings.catalogue.resolve()))
        bundle = choose_bundle(catalogue, settings.bundle)
        variant = catalogue.choose_variant(bundle, settings.variant)

        def load(num_threads: int) -> ImageEncoder:
            return ImageEncoder(
                bundle,
                providers=settings.providers,
                num_threads=num_threads,
                variant=variant,
                allow_fallback=settings.allow_fallback,
                device=device,
            )

        encoder = load(settings.num_threads)
        side = bundle.manifest.preprocessing.image_size
        blank = encoder.encode(np.zeros((1, side, side, 3), np.uint8))
        catalogue.search(blank.embedding_BD, k=1)
        opened.pop_all()  # all went well: it stays open
    upkeep = Upkeep(catalogue) if isinstance(catalogue, SqliteCatalogue) else None
    if upkeep is not None:
        upkeep.start()
    calibration = CalibrationFollower(catalogue.path, catalogue.manifest)
    return Serving(bundle, catalogue, calibration, Pipeline(encoder, settings, metrics), load, upkeep, identity)


def _identity(catalogue: Path | None) -> tuple[int, int] | None:
    """Device and inode of the database of a catalogue, None if it is not there."""
    if catalogue is None:
        return None
    try:
        found = (catalogue / DATABASE_NAME).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _close(serving: Serving) -> None:
    if serving.upkeep is not None:
        serving.upkeep.close()
    serving.pipeline.close()
    serving.catalogue.close()
