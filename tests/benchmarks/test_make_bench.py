"""`make bench` calls what is a benchmark, with what it needs, and leaves out those that lack it."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def bench(tmp_path: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run it with a Python that only tells how it was called; of crash.py it says that it failed."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "called $*"\ntest "$1" != benchmarks/crash.py || exit $FAILED\n')
    python.chmod(0o755)
    command = ["make", "-o", ".venv/.dev", "bench", f"BIN={tmp_path}", *words]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "FAILED": str(code)},
    )


def called(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.removeprefix("called benchmarks/") for line in done.stdout.splitlines() if line.startswith("called")]


def test_without_pictures_those_that_need_them_are_named_and_left_out(tmp_path):
    done = bench(tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"chain.py", "serve.py", "crash.py"} <= set(called(done))
    assert not any(line.startswith(("quality", "small_data", "answers", "embedding_choice")) for line in called(done))
    for name in ("answers", "quality", "small_data", "embedding_choice"):
        assert f"== benchmarks/{name}.py: needs DATA= or RUN=, left out" in done.stdout


def test_with_pictures_every_benchmark_is_called_once_and_no_other_module(tmp_path):
    done = bench(tmp_path, "DATA=my sets", "RUN=run")
    scripts = [path.name for path in (ROOT / "benchmarks").glob("*.py") if "\nif __name__ ==" in path.read_text()]
    assert sorted(line.split()[0] for line in called(done)) == sorted(scripts)
    wanted = {"answers.py my sets bundles/default", "quality.py my sets", "small_data.py my sets"}
    assert wanted | {"embedding_choice.py my sets run"} <= set(called(done))


def test_one_that_fails_stops_none_and_is_told(tmp_path):
    done = bench(tmp_path, code=3)
    assert done.returncode != 0
    assert "serve.py" in called(done)
    assert done.stdout.splitlines()[-1] == "failed: benchmarks/crash.py"
