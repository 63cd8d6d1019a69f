"""Flat values as a TOML document: all that a recipe needs, and nothing to install."""

import json
from collections.abc import Mapping
from typing import Any


def toml_document(values: Mapping[str, Any]) -> str:
    """One line a key.

    Args:
        values: texts, numbers, booleans, and lists of those, by bare keys.

    Raises:
        TypeError: a value of another kind.
    """
    return "".join(f"{key} = {_value(value)}\n" for key, value in values.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's too, but for the one control character that JSON lets pass.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    raise TypeError(f"a recipe holds {value!r}, expected a text, a number, a boolean or a list of those")
