"""What TensorRT is told, by one that only notes it: an fp32 engine computes in float32, not in TF32."""

import os
import sys
from types import SimpleNamespace

import pytest

from encoder.tensorrt import BATCH_BUCKETS, Gpu
from export import tensorrt_engine
from export.tensorrt_engine import CONTEXT_NAME, NO_TF32, build_engine, build_plan


class Config:
    """Flags as TensorRT begins with them."""

    def __init__(self):
        self.flags = {"TF32"}

    def set_flag(self, flag):
        self.flags.add(flag)

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def add_optimization_profile(self, profile):
        pass


class Builder:
    """Its plan is the names of the flags that were set."""

    def __init__(self, logger):
        pass

    def create_network(self, flags):
        return None

    def create_builder_config(self):
        return Config()

    def create_optimization_profile(self):
        return SimpleNamespace(set_shape=lambda *_: None)

    def build_serialized_network(self, network, config):
        return " ".join(sorted(config.flags)).encode()


def logger(severity):
    return None


logger.WARNING = 1
TENSORRT = SimpleNamespace(
    Logger=logger,
    Builder=Builder,
    OnnxParser=lambda *_: SimpleNamespace(parse_from_file=lambda _: True),
    BuilderFlag=SimpleNamespace(TF32="TF32", FP16="FP16", BF16="BF16"),
)


@pytest.mark.parametrize(("precision", "flags"), [("fp32", b""), ("fp16", b"FP16 TF32"), ("bf16", b"BF16 TF32")])
def test_a_plan_in_float32_has_no_tf32(tmp_path, monkeypatch, precision, flags):
    monkeypatch.setitem(sys.modules, "tensorrt", TENSORRT)
    assert build_plan(tmp_path / "graph.onnx", 32, precision) == flags


@pytest.mark.parametrize("before", [None, "1"])
@pytest.mark.parametrize(("precision", "forbids"), [("fp32", True), ("fp16", False)])
def test_an_engine_in_float32_is_built_without_tf32_and_the_environment_is_left_as_it_was(
    tmp_path, monkeypatch, precision, forbids, before
):
    monkeypatch.delenv(NO_TF32, raising=False)
    if before is not None:
        monkeypatch.setenv(NO_TF32, before)
    seen = []

    def open_session(graph, providers, *, provider_options):
        seen.append(os.environ.get(NO_TF32))
        (tmp_path / CONTEXT_NAME).write_bytes(b"engine")
        return SimpleNamespace(run=lambda *_: seen.append(os.environ.get(NO_TF32)))

    monkeypatch.setattr(tensorrt_engine, "require_tensorrt", lambda: None)
    monkeypatch.setattr(tensorrt_engine, "find_gpu", lambda: Gpu("NVIDIA A10", "8.6"))
    monkeypatch.setattr(tensorrt_engine, "open_session", open_session)
    monkeypatch.setattr(tensorrt_engine.importlib.util, "find_spec", lambda _: None)
    assert build_engine(tmp_path / "graph.onnx", tmp_path, 32, precision, tmp_path).precision == precision
    assert seen == ["0" if forbids else before] * (1 + len(BATCH_BUCKETS))
    assert os.environ.get(NO_TF32) == before
