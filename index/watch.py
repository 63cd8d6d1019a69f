"""Keeping a catalogue in step with a folder that grows and changes.

The folder is looked through again and again, which works on every file system, network ones too. A file counts as whole
once it has been found with the same size and time twice, so what is being copied is not taken half; what turns out bad
all the same is rejected now and tried again when it changes. While the folder itself is away, nothing happens. What is
known of the files is kept on disk.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

from encoder.errors import CatalogueBusyError, SourceError
from encoder.image_encoder import ImageEncoder
from encoder.picture_files import walk_pictures
from index.build import BuildReport, build
from index.catalogue import Catalogue
from index.disk_map import DiskMap
from index.locks import writing_alone
from index.sources.folder import FolderSource

# Looking may take one part in so many of the time, so a folder of a million files is looked through less often.
SHARE_OF_TIME = 10
# Until so many items are beside the snapshot, searches scan them exactly; building it at every file would cost more.
COMPACT_AFTER = 2000


class FolderWatch:
    """A folder, and what of it the catalogue has.

    Args:
        folder: to watch.
        ranks: of its sub-folders, finest first.
    """

    def __init__(self, folder: Path, ranks: tuple[str, ...]) -> None:
        self._folder, self._ranks = folder.absolute(), ranks
        self._indexed = DiskMap()  # path -> what the file was like when it was indexed
        self._last = DiskMap()  # path -> what it was like at the last look
        self._ready = DiskMap()

    def look(self) -> None:
        """Look through the folder once, and see which files are whole and new or changed, and which are gone.

        Raises:
            SourceError: a folder cannot be read.
        """
        now, self._ready = DiskMap(), DiskMap()
        try:
            for path in walk_pictures(self._folder):
                relative = path.relative_to(self._folder).as_posix()
                found = _likeness(path)
                if found is None:
                    continue
                now.put(relative, found)
                if self._indexed.get(relative) != found and self._last.get(relative) == found:
                    self._ready.put(relative, found)
        except FileNotFoundError:
            return  # a folder went while it was looked through; `_last` stays, so the next look sees all of it
        except OSError as error:
            raise SourceError(f"{error.filename} cannot be read: {error.strerror}; see who may read it") from error
        self._last = now

    def adopt(self) -> None:
        """Everything that the last look found has been indexed since; what has changed meanwhile, will be again."""
        for name, found in self._last.items():
            self._indexed.put(name, found)

    def ready(self) -> FolderSource | None:
        """The files that are whole and not indexed as they are, None if there are none."""
        return FolderSource(str(self._folder), self._ranks, self._ready) if len(self._ready) else None

    def done(self) -> None:
        """The files that were ready have been indexed."""
        for name, found in self._ready.items():
            self._indexed.put(name, found)

    def gone(self) -> list[str]:
        """Files that were indexed and are gone; none if the whole folder is empty, as one that is not mounted is."""
        if not len(self._last):
            return []
        return [name for name in self._indexed if name not in self._last]

    def forget(self, names: list[str]) -> None:
        """Files whose items have been deleted."""
        for name in names:
            self._indexed.remove(name)

    def keeps_rejection(self, location: str) -> bool:
        """Whether a row of rejected.csv still holds: its file is there and is not being tried again."""
        relative = location.removeprefix(f"{self._folder}/")
        return relative in self._last and relative not in self._ready


def watch(
    catalogue: Catalogue,
    encoder: ImageEncoder,
    watched: FolderWatch,
    *,
    threads: int | None,
    encoder_calls: int,
    batch_size: int,
    prune: bool,
    interval_s: float,
    stop: Event,
    on_round: Callable[[BuildReport, int], None],
) -> None:
    """Index what comes, until `stop` is set.

    Args:
        catalogue: to keep in step.
        encoder: that filled it.
        watched: the folder.
        threads: that read and decode.
        encoder_calls: of the encoder at once.
        batch_size: pictures in one of them.
        prune: delete the items of files that are gone.
        interval_s: between two looks at the least; a file is indexed one to two of them after its last change.
        stop: set to end; the transaction at hand is finished.
        on_round: told what each round did, and how many items it deleted.

    Raises:
        SourceError: the folder cannot be read any more.
    """
    while not stop.is_set():
        started = time.monotonic()
        watched.look()
        took_s = time.monotonic() - started
        try:
            deleted = _delete(catalogue, watched) if prune else 0
            source = watched.ready()
            if source is not None:
                report = build(
                    catalogue, encoder, source, threads=threads, encoder_calls=encoder_calls, batch_size=batch_size,
                    prune=None, compact_after=COMPACT_AFTER, keep_rejected=watched.keeps_rejection, stop=stop,
                    quiet=True,
                )  # fmt: skip
                if not report.stopped:
                    watched.done()
                on_round(report, deleted)
            elif deleted:
                on_round(BuildReport(), deleted)
        except CatalogueBusyError as error:
            sys.stderr.write(f"waiting: {error.message}\n")
        stop.wait(max(interval_s, SHARE_OF_TIME * took_s))


def _delete(catalogue: Catalogue, watched: FolderWatch) -> int:
    gone = watched.gone()
    if not gone:
        return 0
    with writing_alone(catalogue.path):
        deleted = catalogue.delete(gone)
    watched.forget(gone)
    return deleted


def _likeness(path: Path) -> str | None:
    """Size, time and inode of a file; None if it is gone already."""
    try:
        found = path.stat()
    except OSError:
        return None
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"
