"""What a source gives: pictures that are named before they are read, and what of the source itself could not be read.

A source is gone through in a fixed order and holds no list of its pictures, so memory does not grow with it. Faults of
the source as a whole (missing, empty, without its columns) stop a run before it begins; what is wrong with one picture,
or with the rest of one shard, is told where it is met and stops nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

# Label ranks of a source that names none, finest first.
DEFAULT_RANKS = ("label", "group", "supergroup")


@dataclass(frozen=True)
class PictureFacts:
    """What is known of a picture without its bytes.

    Attributes:
        id: its name in the catalogue.
        location: absolute path or URL of it; within a tar as fsspec spells it, `tar://a.jpg::/data/0.tar`.
        labels: rank -> name, finest rank first.
        metadata: anything else, JSON values.
    """

    id: str
    location: str
    labels: dict[str, str]
    metadata: dict[str, Any]


@dataclass(frozen=True)
class SourcePicture:
    """A picture to index.

    Attributes:
        facts: what is known already.
        read: gives the bytes of its file, or raises an InputError. Called at most once, in any thread.
    """

    facts: PictureFacts
    read: Callable[[], bytes]


@dataclass(frozen=True)
class UnreadablePart:
    """A part of a source that could not be read, so that nobody knows which pictures it held.

    Attributes:
        location: of the shard.
        reason: one line.
    """

    location: str
    reason: str


class Source(Protocol):
    """A source that has been opened and found sound as far as can be told without reading all of it.

    Attributes:
        location: as it was given.
        num_pictures: None where only reading all of it would tell.
    """

    location: str
    num_pictures: int | None

    def __iter__(self) -> Iterator[SourcePicture | UnreadablePart]:
        """The pictures in a fixed order; may be asked for again."""
