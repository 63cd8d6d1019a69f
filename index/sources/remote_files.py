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
        try:
            yield from self._pictures(self._path(folder).rstrip("/"), "")
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

    def _pictures(self, folder: str, inside: str) -> Iterator[str]:
        """The picture files below a folder of the store, each with `inside` before its path.

        fsspec's own walk passes over a folder whose listing fails, below its root whatever it is told; to a run that
        prunes, the pictures in it would be gone.
        """
        subfolders = []
        for entry in self._listing(folder, inside):
            path = entry["name"].rstrip("/")
            name = path.rpartition("/")[2]
            if entry["type"] != "directory":
                if is_picture_name(name):
                    yield f"{inside}{name}"
            elif path != folder and not name.startswith("."):
                subfolders.append((path, f"{inside}{name}/"))
        # One folder's listing at a time is in memory, and the sub-folders of those above it.
        for path, inside_it in subfolders:
            yield from self._pictures(path, inside_it)

    def _listing(self, folder: str, inside: str) -> list[dict[str, Any]]:
        try:
            return cast(list[dict[str, Any]], self._store.ls(folder, detail=True))
        except FileNotFoundError:
            if not inside:
                raise
            return []  # gone since the folder above it was listed, or a link of a page that leads nowhere

    def _path(self, location: str) -> str:
        return cast(str, fsspec.url_to_fs(location)[1])


def _told(location: str, error: Exception) -> SourceError:
    return SourceError(f"{location} cannot be read: {_reason(error)}")


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0] or type(error).__name__
