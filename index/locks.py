"""Who works alone on a catalogue: one bulk writer, one builder of snapshots; neither keeps the other from its work.

The operating system lets go of a lock even after a SIGKILL. What only looks may share a lock: it waits for those who
work, and they for it.
"""

import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from encoder.errors import CatalogueBusyError, CatalogueError
from index.snapshot import ANN_DIR

COMPACTION_LOCK, WRITER_LOCK = "compaction.lock", "writer.lock"
WRITER_WAIT_S, POLL_S = 10.0, 0.05


@contextmanager
def compacting_alone(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Be the only one that builds a snapshot of the catalogue at `path`; writers are not kept from it.

    Raises:
        CatalogueBusyError: another does, and `wait` is False.
        CatalogueError: the folder cannot be written to.
    """
    try:
        (path / ANN_DIR).mkdir(exist_ok=True)
        lock = (path / ANN_DIR / COMPACTION_LOCK).open("a")
    except OSError as error:
        raise CatalogueError(f"{path} cannot be written to: {error.strerror or error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise CatalogueBusyError(f"a snapshot of {path} is being built already; wait for it to end") from error
        yield


@contextmanager
def writing_alone(path: Path, *, wait_s: float | None = None) -> Iterator[None]:
    """Be the only bulk writer of the catalogue at `path`; single writes, as a server's, are not kept from it.

    Args:
        path: folder of the catalogue.
        wait_s: for another process that writes, which a person is told; WRITER_WAIT_S if None.

    Raises:
        CatalogueBusyError: another process still writes after that.
        CatalogueError: there is no such folder, or it cannot be written to.
    """
    try:
        lock = (path / WRITER_LOCK).open("a")
    except OSError as error:
        raise CatalogueError(f"{path} cannot be written to: {error.strerror or error}") from error
    with lock:
        if not _taken(lock, fcntl.LOCK_EX):
            wait_s = WRITER_WAIT_S if wait_s is None else wait_s
            sys.stderr.write(f"another `lodisc index` command is writing to {path}; waiting up to {wait_s:g} s\n")
            sys.stderr.flush()
            deadline = time.monotonic() + wait_s
            while not _taken(lock, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise CatalogueBusyError(
                        f"another `lodisc index` command is still writing to {path} after {wait_s:g} s; "
                        "wait for it to end, then run this again"
                    )
                time.sleep(POLL_S)
        yield


@contextmanager
def looking(lock_path: Path, *, wait: bool) -> Iterator[bool]:
    """Share a lock with others that only look; yields whether it was got. Writes nothing, so it works read-only.

    Args:
        lock_path: of the lock file; where there is none, nobody has ever worked.
        wait: for whoever works now.
    """
    try:
        lock = lock_path.open()
    except OSError:
        yield True
        return
    with lock:
        yield _taken(lock, fcntl.LOCK_SH, wait=wait)


def _taken(lock: TextIO, kind: int, *, wait: bool = False) -> bool:
    """Take a lock, and return whether that succeeded; without waiting it may not."""
    try:
        fcntl.flock(lock, kind | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
