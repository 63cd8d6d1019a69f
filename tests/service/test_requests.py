"""What a client asked for, read from JSON and from text."""

import time

import pytest

from service.problems import RequestError
from service.requests import integer, parse_json


def test_a_name_that_stands_twice_among_many_is_found_at_once() -> None:
    names = [f'"{number}":0' for number in range(50_000)]
    text = "{" + ",".join([*names, names[-1]]) + "}"
    start_s = time.process_time()
    with pytest.raises(RequestError, match="'49999' is given twice"):
        parse_json(text)
    assert time.process_time() - start_s < 2


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
