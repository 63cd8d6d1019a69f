"""Starting: every mistake of a person is one line and exit code 2; BentoML's own commands work as well."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from live_server import serving
from served_catalogue import build_served_catalogue

from lodisc.commands.serve_command import _handing_signals_to

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    return build_served_catalogue(tmp_path_factory.mktemp("served"), tiny_bundle)


def refused(*arguments: str) -> str:
    """The one line with which `lodisc serve` refuses to start."""
    command = [sys.executable, "-m", "lodisc", "serve", *arguments]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(r"lodisc: error: [^\n]+\n", done.stderr), done.stderr
    return done.stderr


def test_what_a_person_can_mend(catalogue: Path, other_bundle: Path, tmp_path: Path) -> None:
    assert "missing" in refused(str(tmp_path / "missing"))
    assert "missing" in refused(str(catalogue), "--bundle", str(tmp_path / "missing"))
    assert "lodisc index build" in refused(str(catalogue), "--bundle", str(other_bundle))
    assert "--insecure" in refused(str(catalogue), "--host", "0.0.0.0")
    assert "--insecure" in refused(str(catalogue), "--host", "::")
    assert "https://example.org" in refused(str(catalogue), "--cors-origin", "*")
    assert "cannot be read" in refused(str(catalogue), "--keys", str(tmp_path / "missing"))
    assert "IP address" in refused(str(catalogue), "--host", "example.invalid")
    assert "--port" in refused(str(catalogue), "--port", "70000")
    assert "--workers" in refused(str(catalogue), "--workers", "0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}" in refused(str(catalogue), "--port", port)


def test_a_hang_up_that_is_ignored_stays_ignored() -> None:
    """As under nohup: the terminal closes and the server stays."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with _handing_signals_to(child) as received:
            signal.raise_signal(signal.SIGHUP)
            assert received == []
            assert child.poll() is None
            signal.raise_signal(signal.SIGTERM)
            assert received == [signal.SIGTERM]
            assert child.wait(30) == -signal.SIGTERM
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is before[signal.SIGTERM]
    finally:
        child.kill()
        child.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def test_two_workers_answer_for_each_other(catalogue: Path, tmp_path: Path) -> None:
    with serving(catalogue, tmp_path / "log.txt", "--workers", "2") as server:
        for _ in range(20):  # a worker that is not ready takes no connection
            assert httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 200
        text = httpx.get(f"{server.url}/metrics", trust_env=False).text
        counted = re.search(r'lodisc_requests_total\{method="GET",route="/readyz",status="200"\} (\d+)', text)
        assert counted is not None
        assert int(counted[1]) >= 20
        assert server.stop() == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def bentoml_serve(what: str, log_path: Path, environment: dict[str, str]) -> Iterator[str]:
    """`bentoml serve`, as its own documentation says, once it accepts connections."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "bentoml", "serve", what, "--host", "127.0.0.1", "--port", str(port)]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=PROJECT, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                assert httpx.get(f"{url}/livez", trust_env=False).status_code == 200
                break
            except httpx.TransportError:
                assert process.poll() is None, log_path.read_text()
                assert time.monotonic() < deadline, log_path.read_text()
                time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 60
    while (answer := httpx.get(f"{url}/readyz", trust_env=False)).status_code != 200:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "not_ready"
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)


def test_readyz_says_why_until_the_catalogue_is_there(catalogue: Path, tmp_path: Path) -> None:
    late = tmp_path / "late"
    environment = {
        "LODISC_CATALOGUE": str(late),
        "BENTOML_HOME": str(tmp_path / "home"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    with bentoml_serve("service.app:ImageRetrieval", tmp_path / "log.txt", environment) as url:
        deadline = time.monotonic() + 30
        while str(late) not in (answer := httpx.get(f"{url}/readyz", trust_env=False)).text:
            assert answer.status_code == 503
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.1)
        search = httpx.post(f"{url}/search", json={"item_id": "a"}, trust_env=False)
        assert (search.status_code, search.json()["error"]["code"]) == (503, "not_ready")
        assert search.headers["retry-after"]
        late.symlink_to(catalogue)
        wait_until_ready(url)
        assert httpx.get(f"{url}/stats", trust_env=False).json()["catalogue"]["items"] > 0
        # Without keys it answers this machine only, although `lodisc serve` had no part in it.
        elsewhere = httpx.get(f"{url}/stats", headers={"Host": "a.example"}, trust_env=False)
        assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (403, "not_local")
