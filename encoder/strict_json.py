"""Parsed JSON to dataclasses, strictly: an unknown or missing key or a wrong type is an error that names the place."""

import dataclasses
import json
import math
import types
import typing
from typing import Any

from encoder.errors import ManifestError


def read_typed(wanted: Any, value: Any, origin: str, where: str) -> Any:
    """Check a parsed value against a type and build it.

    Args:
        wanted: a dataclass, str, int, float, Any, or a list, tuple, dict or optional of those.
        value: as `json.loads` gives it.
        origin: the file, for the error.
        where: the place in it, for the error.

    Raises:
        ManifestError: it is not as wanted; the message says where, what was expected and what was found.
    """
    if dataclasses.is_dataclass(wanted):
        return _read_dataclass(wanted, value, origin, where)
    container, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if container in (typing.Union, types.UnionType):
        if value is None:
            return None
        return read_typed(next(part for part in parts if part is not type(None)), value, origin, where)
    if container is tuple:
        if not isinstance(value, list) or len(value) != len(parts):
            raise _unexpected(origin, where, f"a list of {len(parts)}", value)
        return tuple(
            read_typed(part, item, origin, f"{where}[{number}]")
            for number, (part, item) in enumerate(zip(parts, value, strict=True))
        )
    if container is list:
        if not isinstance(value, list):
            raise _unexpected(origin, where, "a list", value)
        return [read_typed(parts[0], item, origin, f"{where}[{number}]") for number, item in enumerate(value)]
    if container is dict:
        if not isinstance(value, dict):
            raise _unexpected(origin, where, "an object", value)
        return {key: read_typed(parts[1], item, origin, f"{where}.{_shown(key)}") for key, item in value.items()}
    return _read_scalar(wanted, value, origin, where)


def _read_scalar(wanted: Any, value: Any, origin: str, where: str) -> Any:
    if wanted is Any:
        try:
            json.dumps(value, allow_nan=False)
        except ValueError as error:
            raise _unexpected(origin, where, "finite numbers only", value) from error
        return value
    if wanted is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _unexpected(origin, where, "a finite number", value)
        try:
            number = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            number = math.inf
        if not math.isfinite(number):
            raise _unexpected(origin, where, "a finite number", value)
        return number
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise _unexpected(origin, where, {"str": "a string", "int": "a whole number"}[wanted.__name__], value)
    return value


def _read_dataclass(wanted: Any, value: Any, origin: str, where: str) -> Any:
    if not isinstance(value, dict):
        raise _unexpected(origin, where, "an object", value)
    hints = typing.get_type_hints(wanted)
    unknown, missing = sorted(set(value) - set(hints)), sorted(set(hints) - set(value))
    if unknown:
        found = ", ".join(map(_shown, unknown))
        raise ManifestError(f"{origin}: unknown key {found} in {where}; known are {', '.join(hints)}")
    if missing:
        raise ManifestError(f"{origin}: {where} lacks {', '.join(missing)}")
    return wanted(**{name: read_typed(hints[name], value[name], origin, f"{where}.{name}") for name in hints})


def _unexpected(origin: str, where: str, expected: str, found: object) -> ManifestError:
    return ManifestError(f"{origin}: {where} is {_shorten(repr(found))}, expected {expected}")


def _shown(key: str) -> str:
    """A key as it may stand in a one-line message."""
    return _shorten(key if key.isprintable() else repr(key))


def _shorten(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."
