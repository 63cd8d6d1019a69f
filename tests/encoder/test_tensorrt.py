"""TensorRT without TensorRT: the options that ONNX Runtime is given, and which engines are refused."""

import stat

import pytest

from encoder import tensorrt
from encoder.manifest import EngineTarget
from encoder.tensorrt import Gpu, bucket_of, build_options, find_gpu, find_gpus, misfit, run_options
from service.device import device_of

TARGET = EngineTarget(gpu="NVIDIA H100", compute_capability="9.0", tensorrt="10.9", onnxruntime="1.32", batch_sizes=[1])


def test_buckets():
    assert [bucket_of(number) for number in (1, 2, 3, 8, 9, 31, 32, 33)] == [1, 2, 4, 8, 16, 32, 32, 32]


def test_the_shape_profiles_cover_every_batch_once(tmp_path):
    options = build_options(tmp_path / "c.onnx", tmp_path, 224, "fp16", buckets=(1, 4, 32))
    assert options["trt_profile_min_shapes"] == "pixels:1x224x224x3,pixels:2x224x224x3,pixels:5x224x224x3"
    assert options["trt_profile_opt_shapes"] == "pixels:1x224x224x3,pixels:4x224x224x3,pixels:32x224x224x3"
    assert options["trt_profile_max_shapes"] == options["trt_profile_opt_shapes"]


def test_precision_and_context(tmp_path):
    for precision, flag in (("fp16", "trt_fp16_enable"), ("bf16", "trt_bf16_enable")):
        options = build_options(tmp_path / "c.onnx", tmp_path, 224, precision)
        assert {name for name in options if name.endswith("16_enable")} == {flag}
    options = build_options(tmp_path / "c.onnx", tmp_path / "cache", 224, "fp32")
    assert not [name for name in options if name.endswith("16_enable")]
    assert options["trt_ep_context_file_path"] == str(tmp_path / "c.onnx")
    assert options["trt_timing_cache_path"] == str(tmp_path / "cache")
    assert options["trt_dump_ep_context_model"] == options["trt_ep_context_embed_mode"] == "1"
    assert all(isinstance(value, str) for value in options.values())


def test_an_engine_runs_where_it_was_built():
    assert misfit(TARGET, Gpu("NVIDIA H100 PCIe", "9.0"), "1.32") is None
    assert "there is no NVIDIA GPU" in misfit(TARGET, None, "1.32")
    assert "this is NVIDIA A10 (8.6)" in misfit(TARGET, Gpu("NVIDIA A10", "8.6"), "1.32")
    assert "with ONNX Runtime 1.32, this is 1.33" in misfit(TARGET, Gpu("NVIDIA H100", "9.0"), "1.33")


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo 'NVIDIA H100 80GB HBM3, 9.0'", Gpu("NVIDIA H100 80GB HBM3", "9.0")),
        ("echo 'No devices were found'; exit 6", None),
        ("exit 0", None),
    ],
)
def test_the_gpu_is_what_nvidia_smi_says(tmp_path, monkeypatch, script, found):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(tensorrt.shutil, "which", lambda _: str(program))
    assert find_gpu() == found


def test_each_gpu_is_told_and_workers_take_them_in_turn(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100, 9.0'\necho 'NVIDIA A10, 8.6'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(tensorrt.shutil, "which", lambda _: str(program))
    assert find_gpus() == [Gpu("NVIDIA H100", "9.0"), Gpu("NVIDIA A10", "8.6")]
    assert [device_of(worker, ("tensorrt", "cuda", "cpu")) for worker in (1, 2, 3)] == [0, 1, 0]
    assert device_of(2, ("cpu",)) == 0
    assert device_of(None, ("cuda",)) == 0
    assert run_options(1) == {"tensorrt": {"device_id": "1"}, "cuda": {"device_id": "1", "use_tf32": "0"}}


def test_without_a_driver_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(tensorrt.shutil, "which", lambda _: None)
    assert find_gpu() is None
