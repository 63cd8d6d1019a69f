"""HTTP/1.1 as uvicorn speaks it with h11, with an end to waiting for a client that is slow on purpose.

Uvicorn waits without end for the head of a request, for the rest of a body that was refused, and for a client that does
not read its answer; BentoML offers no setting for it. Here:

- while no request is being answered, what comes has to become one within `head_timeout_s`, counted from the connection
  or its first byte (a connection on which nothing comes after an answer is closed by uvicorn itself);
- an answer that does not get rid of its bytes for `READ_TIMEOUT_S` is cut off;
- what is no HTTP gets its 400 in our error shape.

It is h11 also where httptools is installed, which uvicorn would prefer: h11 refuses a head, a trailer or the head of a
chunk that is longer than 64 KiB, httptools keeps whatever comes. What it costs is nothing beside an encoder.

Not covered: a body that comes slowly (`bodies.py`), and how many connections there may be.
"""

import asyncio
import json
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.h11_impl import H11Protocol

READ_TIMEOUT_S = 60.0


class PatientProtocol(H11Protocol):
    """One connection.

    Attributes:
        head_timeout_s: of every connection of this process; set from the settings when it starts to serve.
    """

    head_timeout_s = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The clock starts with the connection."""
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_head_timer()
        self._stop_read_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Look whether this made a request whole."""
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        """The beginning of a next head may be there already."""
        super().on_response_complete()
        if self.conn.trailing_data[0]:
            self._watch_head()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered."""
        super().pause_writing()
        self._read_timer = self.loop.call_later(READ_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._stop_read_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what h11 cannot read. No application has seen it, so its answer is made here."""
        error = {"code": "malformed_http", "message": msg, "detail": None}
        body = json.dumps({"error": error}).encode("ascii")
        head = (
            b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"X-Content-Type-Options: nosniff\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        self.transport.write(head + body)
        self.transport.close()

    def _watch_head(self) -> None:
        """Start the clock where a head is awaited, stop it where one has come; more of a head does not reset it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_head_timer()
        elif self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.head_timeout_s, self.timeout_keep_alive_handler)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None


def use_for_http(protocol: type[PatientProtocol]) -> None:
    """Have uvicorn speak this protocol in this process; BentoML leaves the choice to `auto`."""
    assert "auto" in uvicorn.config.HTTP_PROTOCOLS, "uvicorn chooses its protocol in another way than it did"
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{protocol.__module__}:{protocol.__qualname__}"
