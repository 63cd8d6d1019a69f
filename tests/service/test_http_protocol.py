"""The connection under a real uvicorn, in this process, so that its deadlines can be short."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service import http_protocol
from service.http_protocol import PatientProtocol, use_for_http

LONG = 32 * 2**20


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a long body at /long, and reads the whole request at /read."""
    body = b"x" * LONG if scope["path"] == "/long" else b"short"
    more = scope["path"] == "/read"
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(http_protocol, "READ_TIMEOUT_S", 0.5)
    monkeypatch.setattr(PatientProtocol, "head_timeout_s", 0.5)
    monkeypatch.setitem(uvicorn.config.HTTP_PROTOCOLS, "auto", uvicorn.config.HTTP_PROTOCOLS["auto"])
    use_for_http(PatientProtocol)
    with socket.create_server(("127.0.0.1", 0)) as listening, running(listening):
        yield listening.getsockname()[1]


@contextmanager
def running(listening: socket.socket) -> Iterator[None]:
    config = uvicorn.Config(application, lifespan="off", log_config=None, timeout_keep_alive=60)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
    assert config.http_protocol_class is PatientProtocol


def connected(port: int, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(sent)
    return connection


def read_all(connection: socket.socket) -> int:
    """How many bytes come before the other side ends it."""
    num_bytes = 0
    try:
        while data := connection.recv(2**20):
            num_bytes += len(data)
    except ConnectionResetError:
        pass
    return num_bytes


def test_a_client_that_does_not_read_is_cut_off(port: int) -> None:
    with connected(port, b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n") as connection:
        time.sleep(2)
        assert read_all(connection) < LONG


def test_a_client_that_reads_gets_everything(port: int) -> None:
    with connected(port, b"GET /long HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") as connection:
        assert read_all(connection) > LONG


def test_a_request_that_takes_longer_than_a_head_may_is_answered(port: int) -> None:
    with connected(
        port, b"POST /read HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 8\r\n\r\n"
    ) as connection:
        for _ in range(8):
            time.sleep(0.15)
            connection.sendall(b"x")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_heads_that_never_end(port: int) -> None:
    for sent in (b"", b"GET / HTTP/1.1\r\nHost:", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT"):
        with connected(port, sent) as connection:
            assert read_all(connection) < 200  # the end comes, or this would time out


def test_an_idle_connection_is_kept_for_as_long_as_uvicorn_says(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        assert client.get("/").text == "short"
        time.sleep(1.2)  # longer than a head may take
        assert client.get("/").text == "short"
