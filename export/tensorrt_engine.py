"""A TensorRT engine, built ahead of time on the GPU that it is to run on.

Through ONNX Runtime's TensorRT provider, which keeps the engine inside an ONNX file (an EP context). NVIDIA's own
`tensorrt` package, where it is installed, also gives a plain `.plan` for those who run TensorRT without ONNX Runtime.
"""

import contextlib
import importlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from encoder.bundle import sha256_of
from encoder.engine import choose_providers, open_session, version
from encoder.errors import ProviderUnavailableError
from encoder.manifest import EngineTarget, Graph, Variant
from encoder.tensorrt import BATCH_BUCKETS, build_options, find_gpu

CONTEXT_NAME = "encoder.tensorrt.onnx"
PLAN_NAME = "encoder.tensorrt.plan"
NO_TF32 = "NVIDIA_TF32_OVERRIDE"
PRECISIONS = ("fp16", "bf16", "fp32")


def require_tensorrt() -> None:
    """Look before the work begins.

    Raises:
        ProviderUnavailableError: ONNX Runtime has no TensorRT provider here, or there is no GPU.
    """
    choose_providers(["tensorrt", "cuda"], allow_fallback=False)
    if find_gpu() is None:
        raise ProviderUnavailableError("--tensorrt builds an engine for the GPU at hand, and nvidia-smi finds none")


def build_engine(graph: Path, folder: Path, image_size: int, precision: str, timing_cache_dir: Path) -> Variant:
    """Build the engine into `folder` and run each of its batch sizes once.

    Args:
        graph: of the embedding, in operators that TensorRT knows.
        folder: that is to become a bundle.
        image_size: side of the input in pixels.
        precision: one of PRECISIONS.
        timing_cache_dir: kept between builds.

    Raises:
        ProviderUnavailableError: TensorRT or the GPU is not there.
        BundleCorruptError: TensorRT cannot build it.
    """
    require_tensorrt()
    context = folder / CONTEXT_NAME
    options = {"tensorrt": build_options(context, timing_cache_dir, image_size, precision)}
    with _without_tf32() if precision == "fp32" else contextlib.nullcontext():
        session = open_session(graph, ["tensorrt", "cuda"], provider_options=options)
        for size in BATCH_BUCKETS:
            session.run(["embedding"], {"pixels": np.zeros((size, image_size, image_size, 3), np.uint8)})
    if not context.is_file():
        raise ProviderUnavailableError(f"ONNX Runtime {version()} built no engine: it wrote no {context.name}")
    gpu = find_gpu()
    assert gpu is not None
    files = [CONTEXT_NAME]
    if importlib.util.find_spec("tensorrt") is not None:
        (folder / PLAN_NAME).write_bytes(build_plan(graph, image_size, precision))
        files.append(PLAN_NAME)
    return Variant(
        precision=precision,
        method=f"TensorRT engine, {precision}, one shape profile for each of {len(BATCH_BUCKETS)} batch sizes",
        graphs=[Graph(file=CONTEXT_NAME, outputs=["embedding"])],
        sha256={name: sha256_of(folder / name) for name in files},
        pruning=None,
        built_for=EngineTarget(
            gpu=gpu.name,
            compute_capability=gpu.compute_capability,
            tensorrt=tensorrt_version(),
            onnxruntime=version(),
            batch_sizes=list(BATCH_BUCKETS),
        ),
        parity={},
    )


@contextlib.contextmanager
def _without_tf32() -> Iterator[None]:
    """TensorRT builds in full float32 meanwhile, not in TF32, whose products of 10 bits the comparison would refuse.

    Through the environment, which TensorRT asks as it builds: ONNX Runtime's provider has no option for it.
    """
    before = os.environ.get(NO_TF32)
    os.environ[NO_TF32] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[NO_TF32]
        else:
            os.environ[NO_TF32] = before


def tensorrt_version() -> str:
    """Of NVIDIA's package; ONNX Runtime does not tell the version of the library that it has loaded."""
    if importlib.util.find_spec("tensorrt") is None:
        return "as loaded by ONNX Runtime"
    return str(importlib.import_module("tensorrt").__version__)


def build_plan(graph: Path, image_size: int, precision: str, buckets: Sequence[int] = BATCH_BUCKETS) -> bytes:
    """The same engine as a plain TensorRT plan, by NVIDIA's own package.

    Raises:
        ProviderUnavailableError: TensorRT cannot read the graph or build it.
    """
    trt: Any = importlib.import_module("tensorrt")
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        raise ProviderUnavailableError(f"TensorRT cannot read {graph.name}: {parser.get_error(0)}")
    config = builder.create_builder_config()
    if precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)  # set by default: products of 10 bits, which are not float32
    else:
        config.set_flag(trt.BuilderFlag.FP16 if precision == "fp16" else trt.BuilderFlag.BF16)
    least = 1
    for size in buckets:
        profile = builder.create_optimization_profile()
        shapes = [(number, image_size, image_size, 3) for number in (least, size, size)]
        profile.set_shape("pixels", *shapes)
        config.add_optimization_profile(profile)
        least = size + 1
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ProviderUnavailableError(f"TensorRT built no engine of {graph.name}; its messages above say why")
    return bytes(plan)
