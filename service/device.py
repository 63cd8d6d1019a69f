"""Which GPU a worker process runs on: one each, and from the first again where there are more workers than GPUs."""

from collections.abc import Sequence

from encoder.tensorrt import find_gpus

CPU_ALONE = ("cpu",)


def device_of(worker_index: int | None, providers: Sequence[str]) -> int:
    """The number of the GPU, as CUDA counts them; 0 where none is asked for.

    Args:
        worker_index: of the process, from 1 on, as BentoML counts them; None where it is the only one.
        providers: that it runs on.
    """
    if worker_index is None or tuple(providers) == CPU_ALONE:
        return 0
    return (worker_index - 1) % max(1, len(find_gpus()))
