"""A source whose ids all begin with a text of its own, so that they meet none of another source's."""

from collections.abc import Iterator
from dataclasses import replace

from index.sources.picture import Source, SourcePicture, UnreadablePart


class PrefixedSource:
    """The pictures of a source under other ids; labels and places stay.

    Args:
        source: of the pictures.
        prefix: put before each id; may be empty.
    """

    def __init__(self, source: Source, prefix: str) -> None:
        self._source, self._prefix = source, prefix
        self.location, self.num_pictures = source.location, source.num_pictures

    def __iter__(self) -> Iterator[SourcePicture | UnreadablePart]:
        for found in self._source:
            if isinstance(found, SourcePicture):
                found = replace(found, facts=replace(found.facts, id=f"{self._prefix}{found.facts.id}"))
            yield found
