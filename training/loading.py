"""The batches of a run in order, each fetched while the step before it computes."""

# B rows of a step of this process, Q side of a stored picture.

import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from encoder.errors import ConfigError, SourceError
from training.distributed import World
from training.pictures import PictureStore
from training.views import batch_order

NUM_AHEAD = 2


@dataclass(frozen=True)
class Batch:
    """The pictures of one step, each as often as it is to give a pair of views.

    Attributes:
        pixels_BQQ3: uint8, on the device.
        aspect_B: width / height, float32, on the device.
        wait_s: seconds that the step had to wait for them.
    """

    pixels_BQQ3: Tensor
    aspect_B: Tensor
    wait_s: float


def count_steps(num_pictures: int, batch_size: int, data: Path, repeats: int = 1) -> int:
    """Steps of an epoch, which takes each picture once and of each `repeats` pairs of views.

    Raises:
        SourceError: fewer than two pictures: there is no negative.
        ConfigError: the batch is larger than the set.
    """
    if num_pictures < 2:
        raise SourceError(f"{data}: {num_pictures} pictures to train on; contrastive training needs at least 2")
    if num_pictures * repeats < batch_size:
        raise ConfigError(
            f"batch_size is {batch_size}, but {data} holds {num_pictures} pictures to train on; "
            f"use --batch-size {num_pictures * repeats} or less"
        )
    return num_pictures // (batch_size // repeats)


def batches(
    store: PictureStore,
    steps: range,
    *,
    batch_size: int,
    seed: int,
    world: World,
    device: torch.device,
    repeats: int = 1,
) -> Generator[Batch, None, None]:
    """The batch of each step in `steps`; each process of `world` gets its own part of it.

    The pictures of an epoch are drawn without replacement, and what does not fill a last batch is left out. Fetching
    copies from the memory map in a thread of its own, so disk and device work at once. With `repeats` a batch has so
    many rows of each picture side by side (the processes share the rows), and so many fewer pictures.
    """
    pictures_per_step = batch_size // repeats
    steps_per_epoch = len(store) // pictures_per_step
    share = batch_size // world.size
    orders: dict[int, Tensor] = {}

    def fetch(step: int) -> tuple[Tensor, Tensor]:
        epoch, position = divmod(step, steps_per_epoch)
        if epoch not in orders:
            orders.clear()
            orders[epoch] = batch_order(len(store), epoch, seed)
        pictures = orders[epoch][position * pictures_per_step :][:pictures_per_step]
        rows = pictures.repeat_interleave(repeats)[world.rank * share :][:share].numpy()
        pixels, aspect = torch.from_numpy(store.pixels_NQQ3[rows]), torch.from_numpy(store.aspect_N[rows])
        return (pixels.pin_memory(), aspect.pin_memory()) if device.type == "cuda" else (pixels, aspect)

    pending: deque[Future[tuple[Tensor, Tensor]]] = deque()
    # One thread: it fetches in order, so `orders` needs no lock.
    with ThreadPoolExecutor(1) as pool:
        try:
            for step in steps:
                pending.append(pool.submit(fetch, step))
                if len(pending) > NUM_AHEAD:
                    yield _take(pending, device)
            while pending:
                yield _take(pending, device)
        finally:
            for future in pending:
                future.cancel()


def _take(pending: deque[Future[tuple[Tensor, Tensor]]], device: torch.device) -> Batch:
    started = time.monotonic()
    pixels, aspect = pending.popleft().result()
    wait_s = time.monotonic() - started
    return Batch(pixels.to(device, non_blocking=True), aspect.to(device, non_blocking=True), wait_s)
