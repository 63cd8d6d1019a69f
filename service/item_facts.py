"""Labels and metadata of an item as a client gives them, checked."""

import math
from typing import Any

from index.filter_expression import ID
from service.problems import RequestError
from service.requests import MAX_ID_BYTES


def read_facts(labels: object, metadata: object) -> tuple[dict[str, str], dict[str, Any]]:
    """Labels and metadata that a catalogue can hold and a filter can ask for.

    Args:
        labels: JSON, rank -> name.
        metadata: JSON, name -> text or number.

    Raises:
        RequestError: they are not.
    """
    read_labels = _object("labels", labels, (str,))
    _check_labels(read_labels)
    read_metadata = _object("metadata", metadata, (str, int, float))
    _check_names(read_labels, read_metadata)
    return read_labels, read_metadata


def _object(name: str, value: object, types: tuple[type, ...]) -> dict[str, Any]:
    """A flat object whose values are text, or numbers where `types` has them."""
    wanted = "text" if types == (str,) else "text and finite numbers"
    refusal = RequestError(f"`{name}` is not a JSON object whose names and values are {wanted}")
    if not isinstance(value, dict):
        raise refusal
    if "" in value:
        raise RequestError(f"`{name}` has an empty name; a name is at least one character")
    for key, entry in value.items():
        if type(entry) not in types or (isinstance(entry, float) and not math.isfinite(entry)):
            raise refusal
        if isinstance(entry, int) and abs(entry) >= 2**63:
            raise refusal
        for text in (key, entry):
            if isinstance(text, str) and not _is_text(text):
                raise refusal
    return value


def _check_labels(labels: dict[str, str]) -> None:
    """See that each label says something."""
    empty = next((rank for rank, label in labels.items() if not label), None)
    if empty is not None:
        raise RequestError(f"`labels` has an empty label of {empty[:60]!a}; leave out what is not known")


def _check_names(labels: dict[str, str], metadata: dict[str, Any]) -> None:
    """See that a filter can tell what is meant by a name."""
    twice = sorted(labels.keys() & metadata.keys())
    if twice:
        raise RequestError(f"{twice[0][:60]!a} is a rank of `labels` and a name of `metadata`; call one otherwise")
    if ID in labels or ID in metadata:
        raise RequestError("`id` is the item's own and cannot be a name of `labels` or `metadata`")


def _is_text(text: str) -> bool:
    try:
        return "\0" not in text and len(text.encode("utf-8")) <= MAX_ID_BYTES
    except UnicodeEncodeError:
        return False
