"""A folder of pictures: the path below it is the id, sub-folders are labels."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath

from encoder.errors import SourceError
from encoder.picture_files import PICTURE_SUFFIXES
from index.disk_map import DiskMap
from index.ranks import folder_ranks
from index.sources.files import Files, files_of, read
from index.sources.picture import DEFAULT_RANKS, PictureFacts, SourcePicture


class FolderSource:
    """The pictures below a folder, in the order of their paths.

    Args:
        location: path or URL of the folder.
        ranks: names of the sub-folders, from the innermost out.
        listing: the paths of some of its pictures, relative to it; all of them if None.

    Raises:
        SourceError: it cannot be read, or holds no picture.
    """

    def __init__(self, location: str, ranks: Sequence[str] = (), listing: DiskMap | None = None) -> None:
        files = files_of(location)
        self.location, self.ranks = location, ranks
        self._root = files.absolute(location).rstrip("/")
        self._listing = listing if listing is not None else _list(files, location)
        self.num_pictures: int | None = len(self._listing)

    def __iter__(self) -> Iterator[SourcePicture]:
        for relative in self._listing:
            location = f"{self._root}/{relative}"
            facts = PictureFacts(relative, location, folder_labels(relative, self.ranks), {})
            yield SourcePicture(facts, partial(read, location))


def folder_labels(relative: str, ranks: Sequence[str]) -> dict[str, str]:
    """The labels that the folders above a picture give it, the innermost the finest; see `index.ranks`."""
    names = list(reversed(PurePosixPath(relative).parent.parts))
    return dict(zip(folder_ranks(len(names), ranks, DEFAULT_RANKS), names, strict=True))


def _list(files: Files, location: str) -> DiskMap:
    listing = DiskMap()
    try:
        for relative in files.pictures(location):
            listing.add(relative)
    except OSError as error:
        raise SourceError(
            f"{error.filename or location} cannot be read: {error.strerror or error}; see who may read it"
        ) from error
    if not len(listing):
        wanted = ", ".join(sorted(PICTURE_SUFFIXES))
        raise SourceError(
            f"folder {location} holds no pictures; looked for files ending in {wanted} "
            "(shards are given by a pattern: 'folder/*.tar', 'folder/*.parquet')"
        )
    return listing
