"""From the columns of a table, or the fields beside a picture in a tar, to labels and metadata."""

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

# Larger whole numbers are not the same again in every reader of JSON.
LARGEST_EXACT = 2**53


def wanted_ranks(ranks: Sequence[str]) -> Sequence[str]:
    """The columns that are labels: those named, else `label`."""
    return ranks or ("label",)


def labels_of(row: Mapping[str, Any], ranks: Sequence[str]) -> dict[str, str]:
    """Rank -> name of the columns that hold one, in the order of the ranks."""
    names = {rank: text_of(row.get(rank)) for rank in ranks}
    return {rank: name for rank, name in names.items() if name}


def metadata_of(row: Mapping[str, Any], *, without: Sequence[str]) -> dict[str, Any]:
    """The other columns that hold something, as JSON values."""
    values = {column: json_value(value) for column, value in row.items() if column not in without}
    return {column: value for column, value in values.items() if value is not None}


def text_of(value: Any) -> str:
    """A cell as text without spaces around it; empty for a missing value."""
    value = json_value(value)
    return "" if value is None else str(value).strip()


def json_value(value: Any) -> Any:
    """A cell as JSON holds it. Missing values and blank text are None; dates and what is too large become text."""
    if isinstance(value, str):
        return value if value.strip() else None
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < LARGEST_EXACT else str(value)
    if isinstance(value, float):
        if math.isnan(value):  # how pandas writes a missing value
            return None
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): json_value(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(part) for part in value]
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (Decimal, timedelta)):
        return number_or_text(str(value))
    raise TypeError(f"{type(value).__name__} is no value of a column")


def number_or_text(text: str) -> int | float | str:
    """A number where the text is one, so that filters can compare it; else the text.

    What would not be the same again is left as text: `007` is a name, not a seven.
    """
    digits = text.strip().lstrip("+-")
    if "_" in text or (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()):
        return text
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if math.isfinite(value) and abs(value) < LARGEST_EXACT:
            return value
    return text
