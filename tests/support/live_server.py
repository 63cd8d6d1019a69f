"""A really started server: `lodisc serve` as a child process, on a free port, with its log kept."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

READY = re.compile(r"ready: (http://\S+)")
START_S = 60
ATTEMPTS = 3


@dataclass
class LiveServer:
    url: str
    process: subprocess.Popen[bytes]
    log_path: Path

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> int:
        """SIGTERM, and the exit code; a server that does not end in time is a failure."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


@contextmanager
def serving(
    catalogue: Path, log_path: Path, *flags: str, environment: dict[str, str] | None = None
) -> Iterator[LiveServer]:
    """Serve a catalogue until the block ends."""
    command = [sys.executable, "-m", "lodisc", "serve", str(catalogue), "--port", "0", *flags]
    server = _started(command, log_path, {**os.environ, **(environment or {})})
    try:
        yield server
    finally:
        try:
            server.stop()
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()
            raise


def _started(command: list[str], log_path: Path, environment: dict[str, str]) -> LiveServer:
    for _ in range(ATTEMPTS):
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[2], env=environment
            )
        server = LiveServer("", process, log_path)
        deadline = time.monotonic() + START_S
        while not (found := READY.search(server.log())) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if found:
            server.url = found[1]
            return server
        process.kill()
        process.wait()
        # BentoML looks for free ports of its own and binds them later: two servers that start at once may meet there.
        if "Address already in use" not in server.log():
            break
    raise AssertionError(f"the server did not start:\n{server.log()}")
