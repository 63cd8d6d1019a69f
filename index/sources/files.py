"""The files of a source, wherever they are: paths here through the standard library, URLs through fsspec.

Locations are text: `photos/a.jpg`, `s3://bucket/a.jpg`. Everything above this module treats both alike.
"""

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from encoder.errors import MissingExtraError, SourceError, UndecodablePictureError
from encoder.picture_files import walk_pictures
from encoder.preprocessing import read_picture

Kind = Literal["folder", "file"]


class Files(Protocol):
    """Files of one place."""

    def kind(self, location: str) -> Kind | None:
        """What is there; None if nothing is."""

    def pictures(self, folder: str) -> Iterator[str]:
        """Paths relative to a folder, with "/", of all picture files below it, in no particular order."""

    def matching(self, pattern: str) -> list[str]:
        """The files whose location matches a pattern of the shell, sorted."""

    def open(self, location: str) -> BinaryIO:
        """Open a file to read it piece by piece; the caller closes it."""

    def read(self, location: str) -> bytes:
        """The bytes of a picture file; see `encoder.preprocessing.read_picture`."""

    def absolute(self, location: str) -> str:
        """The location as it is to be remembered."""


class LocalFiles:
    """Files of this machine."""

    def kind(self, location: str) -> Kind | None:
        """See `Files`."""
        path = Path(location)
        return ("folder" if path.is_dir() else "file") if path.exists() else None

    def pictures(self, folder: str) -> Iterator[str]:
        """See `Files`."""
        return (path.relative_to(folder).as_posix() for path in walk_pictures(Path(folder)))

    def matching(self, pattern: str) -> list[str]:
        """See `Files`."""
        return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - an absolute pattern has no Path to start from

    def open(self, location: str) -> BinaryIO:
        """See `Files`."""
        return Path(location).open("rb")

    def read(self, location: str) -> bytes:
        """See `Files`."""
        return read_picture(Path(location))

    def absolute(self, location: str) -> str:
        """See `Files`."""
        return str(Path(location).absolute())


def is_url(location: str) -> bool:
    """Whether a location is for fsspec: `s3://bucket/a.jpg`, or a chain such as `zip://a.jpg::file.zip`."""
    return "://" in location


def files_of(location: str) -> Files:
    """What reads a location.

    Raises:
        MissingExtraError: it is a URL, and fsspec or what it needs for that kind of URL is not installed.
        SourceError: there is no such kind of URL.
    """
    if not is_url(location):
        return LocalFiles()
    try:
        from index.sources.remote_files import RemoteFiles  # an extra: only once chosen
    except ImportError as error:
        raise MissingExtraError(f"{location} is a URL, which needs fsspec: pip install -e '.[remote]'") from error
    return RemoteFiles(location)


def beside(table: str, path: str) -> str:
    """A path that stands in a table: as it is if it is absolute or a URL, else relative to the table's folder."""
    if is_url(path) or path.startswith("/"):
        return path
    return f"{folder_of(table)}{path.removeprefix('./')}"


def folder_of(location: str) -> str:
    """The location up to its last "/", that included; empty where there is none."""
    return location[: location.rfind("/") + 1]


@contextmanager
def opened(location: str) -> Iterator[BinaryIO]:
    """A file, open while the block runs.

    Raises:
        SourceError: it cannot be opened.
    """
    try:
        file = files_of(location).open(location)
    except OSError as error:
        raise SourceError(f"{location} cannot be read: {error.strerror or error}") from error
    with file:
        yield file


def read(location: str) -> bytes:
    """The bytes of a picture file.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    try:
        return files_of(location).read(location)
    except MissingExtraError as error:
        raise UndecodablePictureError(error.message) from error


def shards_of(location: str) -> list[str]:
    """The files that a location names: itself, or those that match its braces and wildcards, in order.

    Raises:
        SourceError: none is there.
    """
    files = files_of(location)
    if files.kind(location) is not None:
        return [location]
    found: list[str] = []
    for pattern in expand_braces(location):
        matching = files.matching(pattern) if re.search(r"[*?\[]", pattern) else [pattern]
        missing = [shard for shard in matching if files.kind(shard) is None]
        if missing or not matching:
            raise SourceError(f"source {missing[0] if missing else pattern} does not exist")
        found += [shard for shard in matching if shard not in found]
    return found


def expand_braces(pattern: str) -> list[str]:
    """What a shell makes of braces: `{00..11}.tar` counts, keeping the zeros, and `{a,b}.tar` lists.

    >>> expand_braces("s-{08..10}.tar")
    ['s-08.tar', 's-09.tar', 's-10.tar']
    """
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    counted = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if counted:
        first, last, width = int(counted[1]), int(counted[2]), len(counted[1])
        choices = [f"{number:0{width}}" for number in range(first, last + 1)]
    else:
        choices = match[1].split(",")
    before, after = pattern[: match.start()], pattern[match.end() :]
    return [expanded for choice in choices for expanded in expand_braces(f"{before}{choice}{after}")]


def name_of(location: str) -> str:
    """The last part of a location."""
    return location.rpartition("/")[2]
