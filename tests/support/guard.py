"""Somebody who asks a server for something good, over and over, while others ask it for worse."""

import threading
import time
from typing import Any

import httpx
import psutil
from live_server import LiveServer
from served_catalogue import COLOURS, drawn_picture, encoded

GOOD = encoded(drawn_picture(COLOURS["Viridis/lime"], 7))


class Guard:
    """Asks for something good over and over, watches the processes, and notes what was not as it should be."""

    def __init__(self, server: LiveServer, key: str) -> None:
        self.complaints: list[str] = []
        self.num_right = 0
        self._client = httpx.Client(
            base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        )
        self._expected = self._ask()
        self._root = psutil.Process(server.process.pid)
        self._processes = self._alive()
        self.memory_before = self.memory = self._memory()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guard")
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def look(self) -> None:
        """What holds after every test."""
        assert self._alive() == self._processes
        before = self.num_right
        deadline = time.monotonic() + 30
        while self.num_right < before + 2 and not self.complaints and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.complaints == []
        assert self.num_right >= before + 2

    def _ask(self) -> tuple[Any, Any]:
        # Among the items that were there from the start, whatever a test puts beside them.
        found = self._client.post("/search", files={"images": ("a.png", GOOD)}, data={"filter": "exists(genus)"})
        embedded = self._client.post("/embed?encoding=base64", files={"images": ("a.png", GOOD)})
        found.raise_for_status()
        embedded.raise_for_status()
        matches = [(match["id"], round(match["score"], 4)) for match in found.json()["matches"]]
        return matches, embedded.json()["results"]

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            try:
                answer = self._ask()
            except Exception as error:  # whatever it is, the main thread tells of it
                self.complaints.append(repr(error))
                continue
            if answer != self._expected:
                self.complaints.append(f"{answer} instead of {self._expected}")
            self.memory = max(self.memory, self._memory())
            self.num_right += 1

    def _alive(self) -> set[int]:
        return {process.pid for process in (self._root, *self._root.children(recursive=True))}

    def _memory(self) -> int:
        return max(process.memory_info().rss for process in self._root.children(recursive=True))
