"""The batches of a run in order, each fetched while the step before it computes."""

# B rows of a step of this process, N pictures of the run, Q side of a stored picture, R ranks of labels.

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
from training.label_groups import grouped_order
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
        label_BR: number of each picture's label at each rank, int64, on the device; None where no label is read.
    """

    pixels_BQQ3: Tensor
    aspect_B: Tensor
    wait_s: float
    label_BR: Tensor | None = None


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
    label_NR: Tensor | None = None,
    pictures_per_label: int = 1,
) -> Generator[Batch, None, None]:
    """The batch of each step in `steps`; each process of `world` gets its own part of it.

    The pictures of an epoch are drawn without replacement, and what does not fill a last batch is left out. Fetching
    copies from the memory map in a thread of its own, so disk and device work at once. With `repeats` a batch has so
    many rows of each picture side by side (the processes share the rows), and so many fewer pictures.

    Args:
        store: the pictures.
        steps: which steps of the run.
        batch_size: rows a step, over all processes.
        seed: of the order.
        world: this process among all.
        device: where the batches go.
        repeats: rows of each picture.
        label_NR: number of each picture's label at each rank, int64, -1 for none, to go with its batch.
        pictures_per_label: above 1, pictures of one label follow each other in groups of so many.
    """
    pictures_per_step = batch_size // repeats
    steps_per_epoch = len(store) // pictures_per_step
    share = batch_size // world.size
    orders: dict[int, Tensor] = {}

    def fetch(step: int) -> tuple[Tensor, ...]:
        epoch, position = divmod(step, steps_per_epoch)
        if epoch not in orders:
            orders.clear()
            if label_NR is None or pictures_per_label == 1:
                orders[epoch] = batch_order(len(store), epoch, seed)
            else:
                orders[epoch] = grouped_order(label_NR, epoch, seed, pictures_per_label)
        pictures = orders[epoch][position * pictures_per_step :][:pictures_per_step]
        rows = pictures.repeat_interleave(repeats)[world.rank * share :][:share]
        parts = [torch.from_numpy(stored[rows.numpy()]) for stored in (store.pixels_NQQ3, store.aspect_N)]
        if label_NR is not None:
            parts.append(label_NR[rows])
        return tuple(part.pin_memory() if device.type == "cuda" else part for part in parts)

    pending: deque[Future[tuple[Tensor, ...]]] = deque()
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


def _take(pending: deque[Future[tuple[Tensor, ...]]], device: torch.device) -> Batch:
    started = time.monotonic()
    parts = pending.popleft().result()
    wait_s = time.monotonic() - started
    pixels, aspect, *labels = (part.to(device, non_blocking=True) for part in parts)
    return Batch(pixels, aspect, wait_s, *labels)
