r"""A filter's text, cut into names, texts, numbers, words and signs.

    name     species, or [catalogue number] where it holds anything but letters, digits and _ (a ] in it is written ]])
    text     "Vanessa" or 'Vanessa', with \" \' \\ \n \t
    number   2010, -1.5, 1e6
    word     and or not in true false, upper or lower case
    sign     == != < <= > >= ( ) ,

Anything else is a fault, which names its column.
"""

import math
import re
from dataclasses import dataclass
from typing import Literal

from encoder.errors import FilterError
from index.filter_expression import Value
from index.text import is_text

MAX_LENGTH = 20_000
WORDS = frozenset({"and", "or", "not", "in", "true", "false"})

Kind = Literal["name", "text", "number", "word", "sign", "end"]

_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[^\W\d]\w*")
_BRACKETS = re.compile(r"\[((?:[^\]]|\]\])*)\]")
_TEXT = re.compile(r"""(?P<quote>["'])(?P<inside>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t"}
# What begins like a number is taken whole, so that `10km` and `1.2.3` are refused as one thing.
_NUMBER_LIKE = re.compile(r"[+-]?\.?\d(?:[eE][+-]|[\w.])*")
_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)?(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_SIGN = re.compile(r"==|!=|<=|>=|<|>|\(|\)|,")
_INSTEAD = {"=": "==", "<>": "!=", "&&": "and", "||": "or", "&": "and", "|": "or", "!": "not"}
_WRONG_SIGN = re.compile(r"<>|&&|\|\||[&|]|[=!](?!=)")


@dataclass(frozen=True)
class Token:
    """A piece of a filter.

    Attributes:
        kind: what it is.
        value: of a name or word its characters, of a text or number what it stands for, of a sign itself.
        position: where it begins, from 0.
        shown: as it was written.
    """

    kind: Kind
    value: Value
    position: int
    shown: str


def fault(position: int, problem: str) -> FilterError:
    """The error for what is wrong at a position (from 0) of a filter."""
    return FilterError(f"filter, column {position + 1}: {problem}", detail={"position": position})


def tokens_of(text: str) -> list[Token]:
    """The tokens of a filter, the last one of kind `end`.

    Raises:
        FilterError: something in it is none of them.
    """
    if len(text) > MAX_LENGTH:
        raise fault(MAX_LENGTH, f"a filter has at most {MAX_LENGTH} characters, this one has {len(text)}")
    for position, character in enumerate(text):
        if character == "\0" or not is_text(character):
            raise fault(position, f"{character!a} is no character of a text")
    tokens: list[Token] = []
    position = _end_of(_SPACE, text, 0)
    while position < len(text):
        token, position = _token_at(text, position)
        tokens.append(token)
        position = _end_of(_SPACE, text, position)
    return [*tokens, Token("end", "", position, "the end")]


def _end_of(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return position if found is None else found.end()


def _token_at(text: str, position: int) -> tuple[Token, int]:
    """The token that begins at a position, and where it ends."""
    first = text[position]
    if first in "\"'":
        return _text_at(text, position)
    if first == "[":
        return _bracketed_name_at(text, position)
    if found := _NUMBER_LIKE.match(text, position):
        return Token("number", _number(found[0], position), position, found[0]), found.end()
    if found := _WORD.match(text, position):
        word = found[0].lower()
        kind: Kind = "word" if word in WORDS else "name"
        return Token(kind, word if kind == "word" else found[0], position, found[0]), found.end()
    if wrong := _WRONG_SIGN.match(text, position):
        raise fault(position, f"`{wrong[0]}` is not used here; write {_INSTEAD[wrong[0]]}")
    if found := _SIGN.match(text, position):
        return Token("sign", found[0], position, found[0]), found.end()
    raise fault(
        position, f"{first!r} cannot stand here; text goes between quotes, an unusual name between brackets: [my name]"
    )


def _text_at(text: str, position: int) -> tuple[Token, int]:
    found = _TEXT.match(text, position)
    if found is None:
        raise fault(position, f"the text that begins here has no closing {text[position]}")
    for escape in _ESCAPE.finditer(found["inside"]):
        if escape[1] not in _ESCAPED:
            at = found.start("inside") + escape.start()
            raise fault(
                at, f"a backslash before {escape[1]!a} means nothing in a text; for a backslash itself write two"
            )
    value = _ESCAPE.sub(lambda escape: _ESCAPED[escape[1]], found["inside"])
    return Token("text", value, position, found[0]), found.end()


def _bracketed_name_at(text: str, position: int) -> tuple[Token, int]:
    found = _BRACKETS.match(text, position)
    if found is None:
        raise fault(position, "the name that begins here has no closing ]")
    name = found[1].replace("]]", "]")
    if not name:
        raise fault(position, "there is no name between the brackets")
    return Token("name", name, position, found[0]), found.end()


def _number(written: str, position: int) -> int | float:
    if not _NUMBER.fullmatch(written):
        raise fault(position, f"{_short(written)} is no number; if it is text, put it in quotes")
    whole = written.lstrip("+-").isdigit()
    # A whole number of thousands of digits is not even converted: Python itself refuses.
    value = int(written) if whole and len(written) <= 20 else float(written)
    if (isinstance(value, int) and not -(2**63) <= value < 2**63) or (whole and isinstance(value, float)):
        raise fault(position, f"{_short(written)} is too large; a whole number has at most 64 bits")
    if not math.isfinite(value):
        raise fault(position, f"{_short(written)} is too large for a number")
    return value


def _short(written: str) -> str:
    return repr(written if len(written) <= 40 else f"{written[:37]}...")
