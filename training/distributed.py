"""Several processes, one model: who am I, keys of all, batch norm over all.

Started by torchrun, which sets RANK, WORLD_SIZE and LOCAL_RANK; without it everything here is a single process and
costs nothing. NCCL between GPUs, gloo between CPUs. `DistributedDataParallel` averages the gradients; what is here is
what it does not do. With the loss of each process averaged, n processes give the loss and the gradient of one process
that holds the whole batch.
"""

# B pictures of this process, N pictures of all processes, C channels.

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from encoder.errors import ConfigError

# Long, because the first process decodes the pictures while the others wait.
TIMEOUT = timedelta(hours=4)


@dataclass(frozen=True)
class World:
    """Where this process stands among all of a run.

    Attributes:
        rank: its number, 0 for the one that writes files.
        size: how many there are.
        local_rank: its number on its own machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and talks to the person."""
        return self.rank == 0


def world_from_environment() -> World:
    """Read what torchrun says; a lone process without it.

    Raises:
        ConfigError: only a part of it is set.
    """
    if "WORLD_SIZE" not in os.environ:
        return World()
    try:
        return World(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    except (KeyError, ValueError) as error:
        raise ConfigError(f"WORLD_SIZE is set, but {error} is not usable; start with torchrun, or unset it") from error


@contextmanager
def process_group(world: World, device: torch.device) -> Iterator[None]:
    """Join the other processes for the duration of the block; nothing for a lone process."""
    if world.size == 1:
        yield
        return
    if device.type == "cuda":
        # With a number: torch takes none without, and "cuda" alone is the first GPU of a machine (`choose_device`).
        torch.cuda.set_device(world.local_rank if device.index is None else device.index)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo", rank=world.rank, world_size=world.size, timeout=TIMEOUT
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def is_distributed() -> bool:
    """Whether there are other processes to agree with."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def first_row(num_rows: int) -> int:
    """Where the `num_rows` rows of this process begin among those of all processes."""
    return dist.get_rank() * num_rows if is_distributed() else 0


def gather_keys(keys_BC: Tensor) -> Tensor:
    """The keys of all processes in the order of their ranks, without gradient, shape (N, C)."""
    if not is_distributed():
        return keys_BC
    parts = [torch.empty_like(keys_BC) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, keys_BC.contiguous())
    return torch.cat(parts)


def sum_over_processes(values: Tensor) -> Tensor:
    """Sum of a tensor over all processes, in place, without gradient."""
    if is_distributed():
        dist.all_reduce(values)
    return values


def wait_for_all() -> None:
    """Return when every process has come here."""
    if is_distributed():
        dist.barrier()


class _SumOverProcesses(torch.autograd.Function):
    """Sum over all processes whose gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return sum_over_processes(values.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return sum_over_processes(gradient.clone())


class SyncBatchNorm1d(nn.BatchNorm1d):
    """Batch norm whose statistics are those of the batches of all processes, on CPU and GPU alike.

    (`torch.nn.SyncBatchNorm` refuses CPU tensors.) In eval mode, and in a lone process, it is `nn.BatchNorm1d`.
    Every process must hold equally many rows.
    """

    def forward(self, x_BC: Tensor) -> Tensor:
        """Normalise (B, C) by the statistics of (N, C)."""
        if not (self.training and is_distributed()):
            return super().forward(x_BC)
        dtype = x_BC.dtype
        x_BC = x_BC.float()
        num_rows = len(x_BC) * dist.get_world_size()
        # Two passes: a variance from sums of squares would lose digits to cancellation.
        mean_C = _SumOverProcesses.apply(x_BC.sum(dim=0)) / num_rows
        centred_BC = x_BC - mean_C
        variance_C = _SumOverProcesses.apply(centred_BC.square().sum(dim=0)) / num_rows
        self._track(mean_C.detach(), variance_C.detach() * num_rows / (num_rows - 1))
        normal_BC = centred_BC * torch.rsqrt(variance_C + self.eps)
        if self.affine:
            normal_BC = normal_BC * self.weight + self.bias
        return normal_BC.to(dtype)

    @torch.no_grad()
    def _track(self, mean_C: Tensor, unbiased_variance_C: Tensor) -> None:
        """Move the running statistics as `nn.BatchNorm1d` does."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean_C, self.momentum)
        self.running_var.lerp_(unbiased_variance_C, self.momentum)


@contextmanager
def frozen_statistics(head: nn.Module) -> Iterator[None]:
    """Leave the running statistics of a head's batch norms as they are; the batch's own still normalise it."""
    norms = [layer for layer in head.modules() if isinstance(layer, SyncBatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
