"""Options and what they stand beside, in any order."""

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from lodisc.cli import build_parser

# Each in every order of its parts; what stands beside options keeps its own order.
COMMANDS: list[tuple[list[str], list[list[str]], list[str], dict[str, Any]]] = [
    (["search"], [["-k", "3"], ["--together", "--json"]], ["cat", "a.jpg", "b.jpg"],
     {"catalogue": Path("cat"), "pictures": [Path("a.jpg"), Path("b.jpg")], "k": 3, "together": True}),
    (["search"], [["--server", "http://h"], ["-k", "3"]], ["a.jpg"],
     {"catalogue": None, "pictures": [Path("a.jpg")], "k": 3}),
    (["index", "relabel"], [["--set", "s=x"], ["--unset", "g"]], ["cat", "1", "2"],
     {"catalogue": Path("cat"), "ids": ["1", "2"], "set": [("s", "x")], "unset": ["g"]}),
    (["index", "relabel"], [["--set", "s=x"], ["--filter", "a == 1"]], ["cat"],
     {"catalogue": Path("cat"), "ids": [], "set": [("s", "x")]}),
    (["key", "revoke"], [["--keys", "k.json"]], ["cat", "1", "2", "3"],
     {"catalogue": Path("cat"), "ids": ["1", "2", "3"], "keys": Path("k.json")}),
    (["default-encoder"], [["--out", "o"], ["--quiet"]], ["pack", "train"],
     {"stages": ["pack", "train"], "out": Path("o"), "quiet": True}),
]  # fmt: skip


def orders(options: list[list[str]], beside: list[str]) -> list[list[str]]:
    parts = [*options, *([word] for word in beside)]
    kept = range(len(options), len(parts))
    return [
        [word for number in order for word in parts[number]]
        for order in permutations(range(len(parts)))
        if [number for number in order if number in kept] == list(kept)
    ]


@pytest.mark.parametrize(("command", "options", "beside", "expected"), COMMANDS)
def test_every_order_says_the_same(
    command: list[str], options: list[list[str]], beside: list[str], expected: dict[str, Any]
) -> None:
    for words in orders(options, beside):
        read = vars(build_parser(command[0]).parse_args([*command, *words]))
        assert {name: read[name] for name in expected} == expected, words


def test_what_looks_like_an_option_stands_behind_two_dashes() -> None:
    for words in (["cat", "--set", "s=x", "1", "--", "-2", "--set"], ["--set", "s=x", "--", "cat", "1", "-2", "--set"]):
        read = build_parser("index").parse_args(["index", "relabel", *words])
        assert (read.catalogue, read.ids, read.set) == (Path("cat"), ["1", "-2", "--set"], [("s", "x")])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["index", "remove", "cat"], "the following arguments are required: ID"),
        (["search", "cat", "a.jpg", "--colour"], "unrecognized arguments: --colour"),
        (["default-encoder", "pack"], "the following arguments are required: --out"),
    ],
)
def test_mistakes_are_told(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser(words[0]).parse_args(words)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert said in told
    assert "usage: lodisc" in told


def test_help_names_what_stands_beside_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["search", "--help"], ["index", "relabel", "cat", "-h"]):
        with pytest.raises(SystemExit):
            build_parser(words[0]).parse_args(words)
    shown = capsys.readouterr().out
    assert "[CATALOGUE] PICTURE [PICTURE ...]" in shown
    assert "CATALOGUE [ID ...]" in shown
    assert "folder of the catalogue" in shown
