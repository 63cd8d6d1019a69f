"""`bentoml build`, and what it made, served from another folder with nothing of this tree."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import httpx
import pytest
import yaml
from served_catalogue import build_served_catalogue

PROJECT = Path(__file__).parents[2]
MARK = "<!-- of the Bento -->"


def test_it_asks_for_what_the_project_asks_for():
    packages = yaml.safe_load((PROJECT / "bentofile.yaml").read_text())["python"]["packages"]
    wanted = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    # The client is not part of a Bento.
    assert packages == [one for one in wanted if not one.startswith("httpx")]


@pytest.mark.slow
def test_a_built_bento_serves_alone(tmp_path):
    # The bundle that the catalogue names is gone, so that the server has to find its own.
    bundle = Path(shutil.copytree(PROJECT / "bundles/demo", tmp_path / "bundle"))
    catalogue = build_served_catalogue(tmp_path / "served", bundle)
    shutil.rmtree(bundle)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "LODISC_CATALOGUE": str(catalogue),
        "BENTOML_HOME": str(tmp_path / "home"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    bentoml = [sys.executable, "-m", "bentoml"]
    built = subprocess.run(
        [*bentoml, "build", "--output", "tag"],
        cwd=PROJECT,
        env={**environment, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert built.returncode == 0, built.stderr
    tag = re.search(r"__tag__:(\S+)", built.stdout)
    assert tag is not None, built.stdout
    (source,) = (tmp_path / "home/bentos").glob("*/*/src")
    assert {path.name for path in source.iterdir()} == {"encoder", "index", "service", "bundles", "bentofile.yaml"}
    assert [path.name for path in (source / "bundles").iterdir()] == ["demo"]
    assert sum(path.stat().st_size for path in source.rglob("*") if path.is_file()) < 10e6
    page = source / "service/page/index.html"
    page.write_text(page.read_text() + MARK)

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    log_path = tmp_path / "log.txt"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*bentoml, "serve", tag[1], "--host", "127.0.0.1", "--port", port],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            deadline = time.monotonic() + 60
            while not _is_ready(client):
                assert process.poll() is None, log_path.read_text()
                assert time.monotonic() < deadline, log_path.read_text()
                time.sleep(0.1)
            assert MARK in client.get("/").text  # its own code answers, not an installed one
            assert client.get("/stats").json()["model"]["name"] == "demo"
            picture = (tmp_path / "served/photos/Rubra/rosso/0.png").read_bytes()
            found = client.post("/search", files={"images": ("a.png", picture)}).json()
            assert found["matches"][0]["id"] == "Rubra/rosso/0.png"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def _is_ready(client):
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
