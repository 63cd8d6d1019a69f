"""The files behind a URL, through fsspec: `s3://`, `gs://`, `https://`, `memory://` and what else it knows.

Stores raise errors of their own libraries, of no common kind; here they become ours, with their own words.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import fsspec

from encoder.errors import LodiscError, MissingExtraError, SourceError, UndecodablePictureError
from encoder.picture_files import is_picture_name
from index.sources.files import Kind


class RemoteFiles:
    """The files of the store that a URL names.

    Raises:
        MissingExtraError: fsspec needs another package for it.
        SourceError: there is no such kind of URL.
    """

    def __init__(self, url: str) -> None:
        try:
            self._store, _ = fsspec.url_to_fs(url)
        except ImportError as error:
            raise MissingExtraError(
                f"{url} cannot be read: {error}; pip install -e '.[remote]' covers s3://"
            ) from error
        except Exception as error:  # an unknown protocol is a ValueError; what a store's own set-up raises is anything
            raise _told(url, error) from error

    def kind(self, location: str) -> Kind | None:
        """See `Files`."""
        try:
            path = self._path(location)
            if self._store.isfile(path):
                return "file"
            return "folder" if self._store.isdir(path) else None
        except Exception as error:
            raise _told(location, error) from error

    def pictures(self, folder: str) -> Iterator[str]:
        """See `Files`."""
        root = self._path(folder).rstrip("/")
        try:
            # One folder's listing at a time is in memory, none is kept.
            for parent, subfolders, files in self._store.walk(root):
                inside = parent[len(root) :].strip("/")
                # Taking a name out keeps the walk from entering it.
                for hidden in [name for name in subfolders if name.startswith(".")]:
                    _forget(subfolders, hidden)
                for name in files:
                    if is_picture_name(name):
                        yield f"{inside}/{name}" if inside else name
        except LodiscError:
            raise
        except Exception as error:
            raise _told(folder, error) from error

    def matching(self, pattern: str) -> list[str]:
        """See `Files`."""
        try:
            return sorted(self._store.unstrip_protocol(path) for path in self._store.glob(self._path(pattern)))
        except Exception as error:
            raise _told(pattern, error) from error

    def open(self, location: str) -> BinaryIO:
        """See `Files`."""
        try:
            return cast(BinaryIO, self._store.open(self._path(location), "rb"))
        except Exception as error:
            raise _told(location, error) from error

    def read(self, location: str) -> bytes:
        """See `Files`."""
        try:
            return cast(bytes, self._store.cat_file(self._path(location)))
        except FileNotFoundError as error:
            raise SourceError(f"picture {location} does not exist") from error
        except Exception as error:
            raise UndecodablePictureError(f"{location} cannot be read: {_reason(error)}") from error

    def absolute(self, location: str) -> str:
        """See `Files`."""
        return location

    def _path(self, location: str) -> str:
        return cast(str, fsspec.url_to_fs(location)[1])


def _forget(listing: Any, name: str) -> None:
    """Take a name out of what fsspec's walk lists: a list, or a dict in some stores."""
    if isinstance(listing, dict):
        del listing[name]
    else:
        listing.remove(name)


def _told(location: str, error: Exception) -> SourceError:
    return SourceError(f"{location} cannot be read: {_reason(error)}")


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0] or type(error).__name__
