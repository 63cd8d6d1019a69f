"""What a filter may ask of an item, in the two columns that Milvus filters by.

`tokens` are short hashes: that the item has a field, that it has text there, and which value. They answer ==, !=, in
and exists. `facts` maps hashes of names to spelt values; they answer order, startswith and contains. Names and values
of users are never part of an expression, so there is nothing to escape and nothing to inject. Two tokens are taken for
one only if 128 bits of BLAKE2b agree.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from index.filter_expression import ID, Value
from index.milvus.spelling import spelt_number, spelt_text

Kind = Literal["text", "number"]


def existence_token(name: str) -> str:
    """Every item with the field has it."""
    return _hash("exists", name)


def kind_token(name: str, kind: Kind) -> str:
    """Every item with such a value has it."""
    return _hash(kind, name)


def value_token(name: str, value: Value) -> str:
    """Every item whose field equals the value has it."""
    if isinstance(value, bool):
        return _hash("bool", name, str(value))
    spelt = spelt_text(value) if isinstance(value, str) else spelt_number(value)
    return _hash("is", name, kind_of(value), spelt)


def content_token(content_hash: str) -> str:
    """Every item with that content has it."""
    return _hash("content", content_hash)


def fact_key(name: str, kind: Kind) -> str:
    """The key in `facts` of the spelt value of a field."""
    return f"f{_hash('fact', name, kind)}"


def kind_of(value: float | str) -> Kind:
    """What a value that is not true or false is compared with."""
    return "text" if isinstance(value, str) else "number"


def tokens_and_facts(
    item_id: str, labels: Mapping[str, str], metadata: Mapping[str, Any], content_hash: str
) -> tuple[list[str], dict[str, str]]:
    """The two columns of an item; a field is its label, else its metadata, and the id is its own."""
    tokens, facts = {content_token(content_hash)}, {}
    for name, value in {**metadata, **labels, ID: item_id}.items():
        if value is None:
            continue
        tokens.add(existence_token(name))
        if isinstance(value, bool | int | float | str):
            tokens.add(value_token(name, value))
        if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
            kind = kind_of(value)
            tokens.add(kind_token(name, kind))
            facts[fact_key(name, kind)] = spelt_text(value) if isinstance(value, str) else spelt_number(value)
    return sorted(tokens), facts


def _hash(*parts: str) -> str:
    whole = "".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(whole, digest_size=16).hexdigest()
