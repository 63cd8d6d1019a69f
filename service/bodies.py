"""Reading a request's body within hard limits, and taking a multipart form apart.

Nothing here trusts a length: bytes are counted as they arrive, with and without Content-Length; a body that
is too long, too slow, or cut off is refused with its reason. Parts stay in memory (never a temporary file)
because the body limit already bounds them.

Not covered: what the fields mean (`requests.py`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from service.problems import BodyTooLargeError, RequestError, SlowBodyError

MAX_FIELD_BYTES = 64 * 1024
NUM_SPARE_PARTS = 16
DISCARD_S = 2.0


async def read_body(request: Request, *, max_bytes: int, timeout_s: float) -> bytes:
    """The whole body.

    Raises:
        BodyTooLargeError: it is longer than `max_bytes`, said by Content-Length or found while reading.
        SlowBodyError: it did not arrive within `timeout_s`.
        RequestError: the client went away before the end, or Content-Length is no number.
    """
    declared = request.headers.get("content-length")
    if declared is not None and not (declared.isascii() and declared.isdigit()):
        raise RequestError(f"Content-Length is {declared[:40]!a}, expected a number of bytes")
    stream = request.stream()
    if declared is not None and int(declared[:20]) > max_bytes:
        if "expect" not in request.headers:  # a client that asked first has sent nothing yet
            await _discard_rest(stream)
        raise _too_large(max_bytes)
    chunks: list[bytes] = []
    num_bytes = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in stream:
                num_bytes += len(chunk)
                if num_bytes > max_bytes:
                    break
                chunks.append(chunk)
    except TimeoutError as error:
        raise SlowBodyError(f"the body did not arrive within {timeout_s:g} s; {num_bytes} bytes had come") from error
    except ClientDisconnect as error:
        raise RequestError(f"the client went away after {num_bytes} bytes of its body") from error
    if num_bytes > max_bytes:
        await _discard_rest(stream)
        raise _too_large(max_bytes)
    return b"".join(chunks)


async def _discard_rest(stream: AsyncIterator[bytes]) -> None:
    """Read on for a moment without keeping anything.

    A client that is still sending when the connection closes sees a reset and never the answer that says why.
    """
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(DISCARD_S):
            async for _ in stream:
                pass


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"the body is longer than {max_bytes} bytes; send fewer or smaller pictures",
        detail={"max_body_bytes": max_bytes},
    )


@dataclass(frozen=True)
class Part:
    """One part of a form.

    Attributes:
        name: of the field.
        data: the bytes, as they came.
        is_file: whether the part came with a file name; text fields come without.
    """

    name: str
    data: bytes
    is_file: bool

    @property
    def text(self) -> str:
        """The value of a text field.

        Raises:
            RequestError: a file was sent, it is too long, or not UTF-8.
        """
        if self.is_file:
            raise RequestError(f"field `{self.name}` is a file, expected text")
        if len(self.data) > MAX_FIELD_BYTES:
            raise RequestError(f"field `{self.name}` is {len(self.data)} bytes, at most {MAX_FIELD_BYTES}")
        try:
            return self.data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RequestError(f"field `{self.name}` is not UTF-8 text") from error


def parse_form(body: bytes, content_type: str, *, max_files: int) -> list[Part]:
    """Take a multipart/form-data body apart.

    Raises:
        RequestError: no boundary, a part without a name, broken syntax, or no closing boundary (cut off).
        BodyTooLargeError: more parts than `max_files` pictures and a few fields can be.
    """
    return _FormReader(max_files + NUM_SPARE_PARTS).read(body, content_type)


class _FormReader:
    """Collects what the streaming parser reports; one object reads one form."""

    def __init__(self, max_parts: int) -> None:
        self._max_parts = max_parts
        self._parts: list[Part] = []
        self._headers: dict[bytes, bytes] = {}
        self._field = b""
        self._value = b""
        self._data = bytearray()
        self._ended = False

    def read(self, body: bytes, content_type: str) -> list[Part]:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise RequestError("the Content-Type multipart/form-data names no boundary")
        try:
            parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
            parser.write(body)
        except FormParserError as error:
            raise RequestError(f"the multipart form is malformed: {error}") from error
        if not self._ended:
            raise RequestError("the multipart form is cut off: its closing boundary is missing")
        return self._parts

    def _on_part_begin(self) -> None:
        if len(self._parts) >= self._max_parts:
            raise BodyTooLargeError(f"the form has more than {self._max_parts} parts")
        self._headers = {}
        self._data = bytearray()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _on_part_end(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"").decode("latin-1")
        kind, options = parse_options_header(disposition)
        name = options.get(b"name")
        if kind != b"form-data" or not name:
            raise RequestError("a part of the form has no `Content-Disposition: form-data; name=...`")
        self._parts.append(Part(name.decode("utf-8", "replace"), bytes(self._data), b"filename" in options))

    def _on_end(self) -> None:
        self._ended = True
