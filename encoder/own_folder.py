"""Folders that a command replaces whole: only its own, known by a file that it leaves in them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def is_foreign(path: Path, *markers: str) -> bool:
    """Whether what is at `path` is somebody else's: a file, or a folder that holds something and none of `markers`.

    Args:
        path: what is to be replaced.
        markers: names of files, one of which lies in every folder of ours.

    Raises:
        OSError: the folder cannot be read.
    """
    if not path.is_dir():
        return path.exists() or path.is_symlink()
    return any(path.iterdir()) and not any((path / marker).is_file() for marker in markers)


def replace_folder(path: Path, fresh: Path) -> None:
    """Rename the folder `fresh` to `path`; what is there stays until then, and comes back if that fails.

    Raises:
        OSError: it cannot be renamed.
    """
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.replace(old)
    try:
        fresh.replace(path)
    except OSError:
        if old.exists():
            old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def work_folder(path: Path) -> Iterator[Path]:
    """An empty folder at `path` for as long as it is needed; what a killed process left there is taken away first.

    Raises:
        OSError: it cannot be made.
    """
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
