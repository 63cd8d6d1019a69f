"""Generated items and filters, each with a naive interpreter of it over dictionaries; and what SQL finds."""

import operator
import sqlite3

from hypothesis import strategies as st

from index.filter_parser import parse_filter
from index.filter_sql import SqlCondition
from index.items import NewItem
from index.rows import insert
from index.schema import TABLES

NAMES = ["species", "genus", "year", "flag", "id", "and", "a b", 'q"uote', "back\\slash", "ä🦋", "br]acket", "x.y",
         "$.x", "tab\t", "line\nname", "'", "[0]", "#-1", "?1", ":f0", "true"]  # fmt: skip
TEXTS = ["", "Vanessa", "van", "2010", "true", '"', "'", "%", "ä🦋", "a\\b", "\n", "; --", "[1]", "null"]
NUMBERS = [
    0,
    1,
    -1,
    2010,
    2**53,
    2**53 + 1,
    -(2**63),
    2**63 - 1,
    0.1,
    0.1 + 0.2,
    1.0,
    2010.0,
    -0.0,
    1e22,
    1e-320,
    1.8e19,
]
OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MISSING = object()

texts = st.one_of(st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(-(2**63), 2**63 - 1), st.integers(0, 3))
literals = st.one_of(texts, numbers, st.booleans())
names = st.sampled_from(NAMES)
stored = st.one_of(literals, st.none(), st.lists(literals, max_size=2), st.dictionaries(texts, literals, max_size=2))
items = st.fixed_dictionaries(
    {
        "id": texts,
        "labels": st.dictionaries(names, texts, max_size=4),
        "metadata": st.dictionaries(names, stored, max_size=8),
    }
)


def value_of(item, name):
    if name == "id":
        return item["id"]
    value = item["labels"][name] if name in item["labels"] else item["metadata"].get(name)
    return MISSING if value is None else value


def kind(value):
    return "number" if type(value) in (int, float) else type(value)


def same(value, literal):
    return kind(value) == kind(literal) and value == literal


def written(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def name_of(name):
    return f"[{name.replace(']', ']]')}]" if not name.isidentifier() or name in ("and", "true") else name


@st.composite
def one_comparison(draw):
    """A test as it is written, and what it is of an item."""
    name, form = draw(names), draw(st.sampled_from(["compare", "in", "not in", "exists", "startswith", "contains"]))
    if form == "compare":
        sign, literal = draw(st.sampled_from(list(OPERATORS))), draw(literals)
        if isinstance(literal, bool):
            sign = draw(st.sampled_from(["==", "!="]))

        def compare(item):
            value = value_of(item, name)
            if value is MISSING:
                return False
            if sign == "!=":
                return not same(value, literal)
            return kind(value) == kind(literal) and OPERATORS[sign](value, literal)

        return f"{name_of(name)} {sign} {written(literal)}", compare
    if form in ("in", "not in"):
        values = draw(st.lists(literals, min_size=1, max_size=4))

        def member(item):
            value = value_of(item, name)
            return value is not MISSING and any(same(value, one) for one in values) == (form == "in")

        return f"{name_of(name)} {form} ({', '.join(map(written, values))})", member
    if form == "exists":
        return f"exists({name_of(name)})", lambda item: value_of(item, name) is not MISSING
    text = draw(texts)

    def of_text(item):
        value = value_of(item, name)
        return isinstance(value, str) and (value.startswith(text) if form == "startswith" else text in value)

    return f"{form}({name_of(name)}, {written(text)})", of_text


def joined(word, parts):
    rules = [rule for _, rule in parts]
    combine = all if word == "and" else any
    return "(" + f" {word} ".join(text for text, _ in parts) + ")", lambda item: combine(rule(item) for rule in rules)


expressions = st.recursive(
    one_comparison(),
    lambda inner: st.one_of(
        inner.map(lambda one: (f"not {one[0]}", lambda item: not one[1](item))),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=4)).map(
            lambda two: joined(*two)
        ),
    ),
    max_leaves=8,
)


def database(of_items):
    connection = sqlite3.connect(":memory:")
    connection.executescript(TABLES)
    for item in of_items:
        insert(connection, NewItem(**item, source="", content_hash="", embedding=None, thumbnail=b""), b"")
    return connection


def found_ids(connection, text):
    condition = SqlCondition(parse_filter(text).condition)
    found = connection.execute(
        f"SELECT id, {condition.sql} FROM item WHERE deleted = 0", condition.parameters
    ).fetchall()
    assert {truth for _, truth in found} <= {0, 1}, "a condition is never NULL"
    return {item_id for item_id, truth in found if truth}
