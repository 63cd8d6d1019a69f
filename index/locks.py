"""The lock of those who build snapshots. The operating system lets go of it even after a SIGKILL."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encoder.errors import CatalogueBusyError, CatalogueError
from index.snapshot import ANN_DIR

LOCK_NAME = "compaction.lock"


@contextmanager
def compacting_alone(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Be the only one that builds a snapshot of the catalogue at `path`; writers are not kept from it.

    Raises:
        CatalogueBusyError: another does, and `wait` is False.
        CatalogueError: the folder cannot be written to.
    """
    try:
        (path / ANN_DIR).mkdir(exist_ok=True)
        lock = (path / ANN_DIR / LOCK_NAME).open("a")
    except OSError as error:
        raise CatalogueError(f"{path} cannot be written to: {error.strerror or error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise CatalogueBusyError(f"a snapshot of {path} is being built already; wait for it to end") from error
        yield
