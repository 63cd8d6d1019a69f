"""What a client asked for, read from JSON and from text."""

import time

import pytest

from service.problems import RequestError
from service.requests import parse_json


def test_a_name_that_stands_twice_among_many_is_found_at_once() -> None:
    names = [f'"{number}":0' for number in range(50_000)]
    text = "{" + ",".join([*names, names[-1]]) + "}"
    start_s = time.process_time()
    with pytest.raises(RequestError, match="'49999' is given twice"):
        parse_json(text)
    assert time.process_time() - start_s < 2
