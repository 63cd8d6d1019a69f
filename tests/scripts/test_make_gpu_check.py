"""`make gpu-check` where only what trains and exports is installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_it_reads_no_file_that_needs_what_serving_needs(tmp_path):
    for module in ("faiss", "bentoml", "httpx", "pyarrow"):
        (tmp_path / f"{module}.py").write_text(f"raise ImportError('no {module} here')\n")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(tmp_path),
        "PYTEST_ADDOPTS": "--collect-only -p no:cacheprovider",
    }
    command = ["make", "--no-print-directory", "gpu-check"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    wanted = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/*/test_gpu_*.py")}
    assert "tests/training/test_gpu_training.py" in wanted
    assert set(re.findall(r"^(tests/\S+\.py)", done.stdout, re.MULTILINE)) == wanted
