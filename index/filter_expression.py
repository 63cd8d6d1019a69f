"""What a filter says, as a tree: which items may be found, by their labels, their metadata and their id.

    genus == "Vanessa" and year >= 2010 and locality in ("Ulm", "Bonn")

What it means, whoever evaluates it (`index.filter_sql` here):

- A name stands for the item's label of that rank if it has one, else for its metadata of that name; `id` is the item's.
- A missing value, JSON's null included, satisfies no comparison, `!=` and `not in` neither; `exists` asks for it.
- Text compares with text by code points, numbers with numbers by value, and true and false are neither. A value of
  another type than the literal is different from it: `!=` and `not in` hold, nothing else does.
- `not`, `and`, `or` know true and false only, so `not year > 2010` holds where there is no year.

Not covered: where a picture's file lies (`source`), which clients of a server may not learn, not even by asking.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

ID = "id"

Value = bool | int | float | str
Operator = Literal["==", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True)
class Field:
    """A name, and where it stands in the filter's text (from 0)."""

    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Comparison:
    """`year >= 2010`. A bool has only == and !=."""

    field: Field
    operator: Operator
    value: Value


@dataclass(frozen=True)
class Membership:
    """`locality in ("Ulm", "Bonn")`, or `not in`; at least one value, of any types."""

    field: Field
    values: tuple[Value, ...]
    negated: bool


@dataclass(frozen=True)
class TextTest:
    """`startswith(species, "ata")` or `contains(...)`; true of text only, upper and lower case differ."""

    field: Field
    kind: Literal["startswith", "contains"]
    text: str


@dataclass(frozen=True)
class Exists:
    """`exists(year)`."""

    field: Field


@dataclass(frozen=True)
class Not:
    """`not ...`."""

    operand: "Condition"


@dataclass(frozen=True)
class Junction:
    """`... and ... and ...`, or `or`; at least two operands."""

    word: Literal["and", "or"]
    operands: tuple["Condition", ...]


Condition = Comparison | Membership | TextTest | Exists | Not | Junction


@dataclass(frozen=True)
class Filter:
    """A parsed filter: its text, as `index.filter_parser` read it, and what that says."""

    text: str
    condition: Condition


def fields_of(condition: Condition) -> Iterator[Field]:
    """The fields that are named, in the order of the text."""
    if isinstance(condition, Junction):
        for operand in condition.operands:
            yield from fields_of(operand)
    elif isinstance(condition, Not):
        yield from fields_of(condition.operand)
    else:
        yield condition.field
