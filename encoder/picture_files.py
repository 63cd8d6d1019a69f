"""Which files of a folder are pictures, in an order that never changes, and what their sub-folders call them."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from encoder.errors import SourceError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".avif"})


def list_pictures(folder: Path) -> list[Path]:
    """Every picture file below `folder`, sorted by relative path; hidden files and folders are passed over.

    Folders that are links are not followed, so a loop of links cannot trap the walk. A link to a file that is gone is
    listed, so that whoever reads it reports it; pipes and sockets, which a reader would wait for, are not.

    Raises:
        SourceError: the folder is missing, is no folder, cannot be read, or holds no picture.
    """
    try:
        if not folder.exists():
            raise SourceError(f"folder {folder} does not exist; give a folder of pictures")
        if not folder.is_dir():
            raise SourceError(f"{folder} is a file, expected a folder of pictures")
        pictures = sorted(walk_pictures(folder), key=lambda path: path.relative_to(folder).parts)
    except OSError as error:
        raise SourceError(f"folder {error.filename or folder} cannot be read: {error.strerror or error}") from error
    if not pictures:
        wanted = ", ".join(sorted(PICTURE_SUFFIXES))
        raise SourceError(f"folder {folder} holds no pictures; looked for files ending in {wanted}")
    return pictures


def walk_pictures(folder: Path) -> Iterator[Path]:
    """The picture files that `list_pictures` lists, in no particular order and without holding a list of them.

    Raises:
        OSError: a folder cannot be read.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            if entry.is_dir():
                if not entry.is_symlink():
                    yield from walk_pictures(path)
            elif is_picture_name(entry.name) and (entry.is_file() or not path.exists()):
                yield path


def would_be_listed(path: Path, folder: Path) -> bool:
    """Whether pictures below `path` would be among those of `folder`: it lies there, and is not hidden."""
    try:
        parts = path.resolve().relative_to(folder.resolve()).parts
    except ValueError:
        return False
    return not any(part.startswith(".") for part in parts)


def is_picture_name(name: str) -> bool:
    """Whether a file of this name is a picture: by its suffix, and not hidden."""
    return not name.startswith(".") and PurePath(name).suffix.lower() in PICTURE_SUFFIXES


def folder_label(folder: Path, picture: Path) -> str | None:
    """The label that a picture's sub-folder gives it, `genus/species` where they are nested; None at the top."""
    parent = picture.relative_to(folder).parent.as_posix()
    return None if parent == "." else parent
