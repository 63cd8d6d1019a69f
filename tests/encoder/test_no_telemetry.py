"""ONNX Runtime reports nothing: it leaves no queue of reports behind, whichever of our modules loads it."""

import os
import subprocess
import sys

import pytest

HUSHES = ("ORT_DISABLE_TELEMETRY", "CI", "GITHUB_ACTIONS", "TF_BUILD")


def files_left(code, home):
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in HUSHES}
    environment |= {"HOME": str(home), "TMPDIR": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    return [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize("module", ["encoder.engine", "encoder.image_encoder", "export.int8", "export.half_precision"])
def test_nothing_is_reported(module, tmp_path):
    if not files_left("import onnxruntime", tmp_path / "bare"):
        pytest.skip("this build of ONNX Runtime reports nothing by itself")
    assert files_left(f"import {module}", tmp_path / "ours") == []
