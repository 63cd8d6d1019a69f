"""What a client asked for, read from JSON and from text."""

import json
import time

import pytest

from service.problems import BodyTooLargeError, RequestError
from service.requests import MAX_JSON_VALUES, integer, parse_json, parse_json_body


def test_a_name_that_stands_twice_among_many_is_found_at_once() -> None:
    names = [f'"{number}":0' for number in range(50_000)]
    text = "{" + ",".join([*names, names[-1]]) + "}"
    start_s = time.process_time()
    with pytest.raises(RequestError, match="'49999' is given twice"):
        parse_json(text)
    assert time.process_time() - start_s < 2


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0", b'"a"', b"[[0,0],{}]"])
def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(value: bytes) -> None:
    body = b"[" + b",".join([value] * (MAX_JSON_VALUES + 1)) + b"[no JSON"
    with pytest.raises(BodyTooLargeError, match="the body has more than 500,000 values") as caught:
        parse_json_body(body)
    assert caught.value.status == 413
    assert caught.value.detail == {"max_json_values": MAX_JSON_VALUES}


def test_a_body_of_as_many_values_as_may_be_is_parsed() -> None:
    assert parse_json_body(b"[" + b",".join([b"7"] * MAX_JSON_VALUES) + b"]") == [7] * MAX_JSON_VALUES


def test_the_largest_batch_of_pictures_is_parsed() -> None:
    metadata = {f"name {number}": "a text, with commas, [brackets] and {braces}" for number in range(100)}
    item = {"id": "a", "image": "A" * 10_000, "metadata": metadata}
    document = parse_json_body(json.dumps({"items": [item] * 64, "delete": ["a"] * 10_000}).encode())
    assert (len(document["items"]), len(document["delete"])) == (64, 10_000)


@pytest.mark.parametrize(
    "text", ["--5", "+-5", "-+5", "5-", "5+", "+", "-", "", " 5", "5 ", "5\n", "0x5", "5.0", "1_0", "\u0665"]
)
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="expected a whole number from 1 to 1000"):
        integer("k", text, 1, 1000)


@pytest.mark.parametrize("text", ["5", "+5", "005", 5])
def test_a_whole_number_is_read(text: str | int) -> None:
    assert integer("k", text, 1, 1000) == 5


@pytest.mark.parametrize("text", ["-5", "0", "1001", "9" * 18, "9" * 5000])
def test_a_whole_number_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="expected a whole number from 1 to 1000"):
        integer("k", text, 1, 1000)
