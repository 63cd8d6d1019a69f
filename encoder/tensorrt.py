"""TensorRT through ONNX Runtime's provider: its options, and whether an engine fits the GPU at hand.

An engine is built ahead of time, at export, and kept inside an ONNX file (an EP context), so that a server loads it in
seconds and runs it through the same session code as everything else.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from encoder.manifest import EngineTarget

# One shape profile each. A batch is filled up to the next of them, so a server with changing load keeps to these shapes
# and its GPU memory stays what it was after the first requests.
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32)
_TIMEOUT_S = 20


@dataclass(frozen=True)
class Gpu:
    """A GPU: its name and compute capability, as "9.0"."""

    name: str
    compute_capability: str


def find_gpus() -> list[Gpu]:
    """What nvidia-smi says of the GPUs, in its order; none where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = subprocess.run(
        [program, "--query-gpu=name,compute_cap", "--format=csv,noheader"],
        capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    lines = asked.stdout.splitlines() if asked.returncode == 0 else []
    parts = [line.rpartition(",") for line in lines]
    return [Gpu(name.strip(), capability.strip()) for name, comma, capability in parts if comma]


def find_gpu() -> Gpu | None:
    """The first GPU; None where there is none or no driver."""
    return next(iter(find_gpus()), None)


def bucket_of(num_pictures: int) -> int:
    """The batch size that so many pictures are filled up to, at most the largest bucket."""
    return next((size for size in BATCH_BUCKETS if size >= num_pictures), BATCH_BUCKETS[-1])


def run_options(device: int) -> dict[str, dict[str, str]]:
    """Options by provider to run on the GPU of that number, an engine that was built at export included.

    By default CUDA rounds what it multiplies to 10 bits (TF32), which makes of fp32 another variant than was verified.
    """
    return {"tensorrt": {"device_id": str(device)}, "cuda": {"device_id": str(device), "use_tf32": "0"}}


def build_options(
    context: Path, timing_cache_dir: Path, image_size: int, precision: str, buckets: Sequence[int] = BATCH_BUCKETS
) -> dict[str, str]:
    """Options under which opening a session builds the engine and writes it.

    Args:
        context: the ONNX file to write the engine into.
        timing_cache_dir: folder of the timing cache, which makes the next build on the same GPU faster.
        image_size: side of the input in pixels.
        precision: "fp16", "bf16" or "fp32".
        buckets: batch sizes, one shape profile each: fastest at that size, good for all from the one before.
    """

    def shapes(sizes: Sequence[int]) -> str:
        return ",".join(f"pixels:{size}x{image_size}x{image_size}x3" for size in sizes)

    options = {
        "device_id": "0",
        "trt_dump_ep_context_model": "1",
        "trt_ep_context_file_path": str(context),
        "trt_ep_context_embed_mode": "1",  # the engine inside the file, so that one hash covers it
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(timing_cache_dir),
        "trt_layer_norm_fp32_fallback": "1",
        "trt_profile_min_shapes": shapes([1, *(size + 1 for size in buckets[:-1])]),
        "trt_profile_opt_shapes": shapes(buckets),
        "trt_profile_max_shapes": shapes(buckets),
    }
    if precision != "fp32":
        options[f"trt_{precision}_enable"] = "1"
    return options


def misfit(target: EngineTarget, gpu: Gpu | None, onnxruntime_version: str) -> str | None:
    """Why an engine cannot run here, or None if it can be tried."""
    if gpu is None:
        return f"its TensorRT engine was built for {target.gpu}, and there is no NVIDIA GPU here"
    if gpu.compute_capability != target.compute_capability:
        return (
            f"its TensorRT engine was built for {target.gpu} (compute capability {target.compute_capability}), "
            f"this is {gpu.name} ({gpu.compute_capability})"
        )
    if onnxruntime_version != target.onnxruntime:
        return f"its TensorRT engine was built with ONNX Runtime {target.onnxruntime}, this is {onnxruntime_version}"
    return None
