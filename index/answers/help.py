"""What would settle an answer that is not settled: two rivals to compare, another photograph, or a name for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from index.items import Match

RIVAL_SHARE = 0.4  # a second label this likely, next to the first, is worth a look


@dataclass(frozen=True)
class LabelVote:
    """A label, how likely it is, and what is above it where the name stands under two."""

    label: str
    confidence: float
    within: str | None = None


@dataclass(frozen=True)
class Help:
    """One suggestion.

    Attributes:
        kind: "rivals", two labels to look at side by side; "another_view", a further photograph; "unknown", none of
            the labels fits.
        rank: of the labels.
        labels: those it is about, likeliest first.
        items: of each label the id of the nearest item.
        text: one sentence.
    """

    kind: Literal["rivals", "another_view", "unknown"]
    rank: str
    labels: list[str]
    items: dict[str, str]
    text: str


def active_help(
    rank: str,
    labels: Sequence[LabelVote],
    photographs: Sequence[Sequence[Match]],
    *,
    unknown: bool,
    filtered: bool,
) -> Help:
    """What to do next.

    Args:
        rank: the finest calibrated one that has labels here.
        labels: of it, likeliest first, at least one.
        photographs: the neighbours of each, nearest first.
        unknown: the verdict.
        filtered: whether only some items could be found.
    """
    first, second = labels[0], labels[1] if len(labels) > 1 else None
    if unknown and filtered:
        text = f"Nothing that the filter lets through is near; the nearest is {first.label}. Ask without the filter."
        return _help("unknown", rank, [first.label], photographs, text)
    if unknown:
        text = f"Nothing in the catalogue is near; the nearest is {first.label}. If it is new, add it by its name."
        return _help("unknown", rank, [first.label], photographs, text)
    if second is not None and second.label != first.label and second.confidence >= RIVAL_SHARE * first.confidence:
        text = f"{first.label} or {second.label}: compare the two side by side, and look where they differ."
        return _help("rivals", rank, [first.label, second.label], photographs, text)
    again = "from another side or in better light" if len(photographs) == 1 else "of a part that none shows yet"
    return _help("another_view", rank, [first.label], photographs, f"Another photograph, {again}, may settle it.")


def _help(
    kind: Literal["rivals", "another_view", "unknown"],
    rank: str,
    labels: Sequence[str],
    photographs: Sequence[Sequence[Match]],
    text: str,
) -> Help:
    nearest = sorted((match for found in photographs for match in found), key=lambda match: -match.score)
    items = {label: next(match.id for match in nearest if match.labels.get(rank) == label) for label in labels}
    return Help(kind, rank, list(labels), items, text)
