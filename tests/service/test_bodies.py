import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bodies import Part, parse_form
from service.problems import BodyTooLargeError, RequestError

TYPE = "multipart/form-data; boundary=XX"
BODY = (
    b'--XX\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n\x89PNG\r\n--X\r\n\r\n--XX\r\n"
    b'Content-Disposition: form-data; name="k"\r\n\r\n7\r\n--XX--\r\n'
)


def test_files_and_fields() -> None:
    picture, field = parse_form(BODY, TYPE, max_files=2)
    assert picture == Part("images", b"\x89PNG\r\n--X\r\n", True)
    assert field == Part("k", b"7", False)
    assert field.text == "7"


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (BODY, "multipart/form-data", "boundary"),
        (BODY, "multipart/form-data; boundary=" + "y" * 400, "malformed"),
        (BODY[:-8], TYPE, "cut off"),
        (b"", TYPE, "cut off"),
        (b"no form at all", TYPE, "malformed"),
        (b"--XX\r\nContent-Disposition: form-data\r\n\r\n7\r\n--XX--\r\n", TYPE, "name"),
        (b"--XX\r\n\r\n7\r\n--XX--\r\n", TYPE, "name"),
    ],
)
def test_malformed_forms_are_refused(body: bytes, content_type: str, said: str) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        parse_form(body, content_type, max_files=2)
    assert caught.value.status == 400


def test_too_many_parts() -> None:
    body = b'--XX\r\nContent-Disposition: form-data; name="k"\r\n\r\n7\r\n' * 100 + b"--XX--\r\n"
    with pytest.raises(BodyTooLargeError, match="parts"):
        parse_form(body, TYPE, max_files=2)


@given(position=st.integers(0, len(BODY) - 1), byte=st.integers(0, 255))
def test_a_damaged_form_is_read_or_refused(position: int, byte: int) -> None:
    damaged = bytearray(BODY)
    damaged[position] = byte
    with contextlib.suppress(RequestError):  # nothing else may escape, and it is never a 5xx
        parse_form(bytes(damaged), TYPE, max_files=2)


def test_text_must_be_text() -> None:
    for part in (Part("k", b"7", True), Part("k", b"\xff", False), Part("k", b"7" * 100_000, False)):
        with pytest.raises(RequestError, match="`k`"):
            _ = part.text
