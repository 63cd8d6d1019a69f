"""Bulk indexing: a source of pictures into a catalogue.

    read, hash, decode (a pool of threads) -> encode (one thread, batches) -> commit (one transaction a batch)

with bounded queues between. A picture that cannot be used costs a row of rejected.csv and nothing else. What is
already in the catalogue with the same content is not encoded again, so the run after an interruption, however abrupt,
continues where the last transaction ended. One bulk run at a time.
"""

import csv
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from encoder.bundle import Bundle
from encoder.errors import CatalogueBusyError, CatalogueError, InputError
from encoder.image_encoder import ImageEncoder
from index.catalogue import Catalogue
from index.compaction import is_due_after_bulk
from index.pipeline import KINDS, Pipeline
from index.progress import BuildProgress, Stages
from index.schema import DATABASE_NAME, PARTIAL_PREFIX
from index.snapshot import ANN_DIR
from index.sources import SourcePicture
from index.text import printable

REJECTED_NAME = "rejected.csv"
LOCK_NAME = "writer.lock"
BATCH_SIZE = 32


@dataclass(kw_only=True)
class BuildReport:
    """What a bulk run did.

    Attributes:
        total: pictures of the source.
        encoded: put into the catalogue after encoding.
        reused: put in with the embedding of an item of the same content.
        relabelled: only labels or metadata changed; not encoded again.
        unchanged: already there.
        rejected: path and reason of each that could not be used.
        not_in_source: items of the catalogue that the source no longer has (kept, or deleted with prune).
        pruned: whether those were deleted.
        seconds: wall time.
        stage_seconds: least time each stage needs, its busy time over its workers.
        limited_by: the stage that the others waited for.
    """

    total: int
    encoded: int = 0
    reused: int = 0
    relabelled: int = 0
    unchanged: int = 0
    rejected: list[tuple[str, str]] = field(default_factory=list)
    not_in_source: int = 0
    pruned: bool = False
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    limited_by: str | None = None


def open_for_build(
    path: Path, bundle: Bundle, *, ranks: Sequence[str] = (), domain: str | None = None, fresh: bool = False
) -> Catalogue:
    """Open the catalogue at `path` for a bulk run with a bundle, making it if there is none.

    The catalogue remembers where the bundle is now, and the ranks if they are given.

    Raises:
        EncoderMismatchError: another encoder filled it and `fresh` was not said.
        CatalogueBusyError: another bulk run is at work there.
        CatalogueError: `path` holds something else, or cannot be written.
    """
    exists = (path / DATABASE_NAME).is_file()
    if not exists:
        _claim(path)
    elif not fresh:
        catalogue = Catalogue.open(path, encoder_id=bundle.manifest.id)
        try:
            with writing_alone(path):
                catalogue.remember(bundle_path=bundle.path, ranks=ranks)
        except BaseException:
            catalogue.close()
            raise
        return catalogue
    with writing_alone(path):
        if exists:
            _delete_catalogue(path)
        return Catalogue.create(path, bundle, ranks=ranks, domain=domain)


def build(
    catalogue: Catalogue,
    encoder: ImageEncoder,
    pictures: Sequence[SourcePicture],
    *,
    threads: int | None = None,
    batch_size: int = BATCH_SIZE,
    prune: bool | None = False,
    quiet: bool = False,
) -> BuildReport:
    """Index pictures, publish a snapshot where one is due, and write rejected.csv.

    Args:
        catalogue: to fill; its encoder is `encoder`.
        encoder: for the embeddings.
        pictures: of a source; ids differ.
        threads: that read and decode; as many as there are cores if None.
        batch_size: pictures in one call of the encoder and one transaction.
        prune: delete items that are not among `pictures`; None does not even count them.
        quiet: show no progress.

    Raises:
        CatalogueBusyError: another bulk run is writing to this catalogue.
    """
    threads = threads or os.cpu_count() or 1
    report = BuildReport(total=len(pictures))
    stages = Stages({("read", "decode"): threads})
    pipeline = Pipeline(catalogue, encoder, threads=threads, batch_size=batch_size, stages=stages)

    def reject(picture: SourcePicture, error: InputError) -> None:
        report.rejected.append((printable(str(picture.path)), printable(error.message)))

    started = time.monotonic()
    with writing_alone(catalogue.path):
        _remove_partials(catalogue.path)
        try:
            with BuildProgress(len(pictures), stages, quiet=quiet) as progress:
                for batch in pipeline.batches(pictures, reject):
                    items = [prepared.item for prepared in batch if prepared.item is not None]
                    if items:
                        with stages.busy("commit"):
                            catalogue.put(items)
                    for prepared in batch:
                        setattr(report, prepared.kind, getattr(report, prepared.kind) + 1)
                    progress.advance_to(sum(getattr(report, kind) for kind in KINDS) + len(report.rejected))
        finally:
            _write_rejected(catalogue.path / REJECTED_NAME, report.rejected)
        if prune is not None:
            _settle_missing(catalogue, pictures, report, prune)
        if is_due_after_bulk(catalogue.refresh()):
            with stages.busy("snapshot"):
                catalogue.compact()
    report.seconds = time.monotonic() - started
    report.stage_seconds = stages.load()
    report.limited_by = stages.limiting()
    return report


@contextmanager
def writing_alone(path: Path) -> Iterator[None]:
    """Hold the catalogue's writer lock; the operating system lets go of it even after a SIGKILL.

    Raises:
        CatalogueBusyError: another process holds it.
        CatalogueError: there is no such folder, or it cannot be written to.
    """
    try:
        lock = (path / LOCK_NAME).open("a")
    except OSError as error:
        raise CatalogueError(f"{path} cannot be written to: {error.strerror or error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CatalogueBusyError(
                f"another `lodisc index` command is writing to {path}; wait for it to end"
            ) from error
        yield


def _settle_missing(catalogue: Catalogue, pictures: Sequence[SourcePicture], report: BuildReport, prune: bool) -> None:
    """Count, and with `prune` delete, the items that the source does not have."""
    in_source = {picture.id for picture in pictures}
    missing = [item_id for item_id in catalogue.ids() if item_id not in in_source]
    report.not_in_source, report.pruned = len(missing), prune
    if prune and missing:
        catalogue.delete(missing)


def _write_rejected(path: Path, rejected: Sequence[tuple[str, str]]) -> None:
    """The quarantine report, by rename; there also when nothing was rejected, so that it is never an older run's."""
    partial = path.with_name(f"{PARTIAL_PREFIX}{path.name}")
    try:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "reason"])
            writer.writerows(rejected)
        partial.replace(path)
    except OSError as error:
        raise CatalogueError(f"{path} cannot be written: {error.strerror or error}") from error


def _remove_partials(path: Path) -> None:
    """Remove what a run left aside that was killed before it could rename or remove it."""
    for partial in path.glob(f"{PARTIAL_PREFIX}*"):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def _delete_catalogue(path: Path) -> None:
    """Remove what makes a catalogue, and nothing else that may lie in the folder."""
    for suffix in ("", "-wal", "-shm"):
        (path / f"{DATABASE_NAME}{suffix}").unlink(missing_ok=True)
    shutil.rmtree(path / ANN_DIR, ignore_errors=True)


def _claim(path: Path) -> None:
    """Make the folder of a catalogue, or see that what is there may become one.

    Raises:
        CatalogueError: it is something else, or cannot be made.
    """
    ours = (LOCK_NAME, REJECTED_NAME, ANN_DIR)
    try:
        path.mkdir(parents=True, exist_ok=True)
        foreign = [
            file for file in path.iterdir() if file.name not in ours and not file.name.startswith(PARTIAL_PREFIX)
        ]
    except (FileExistsError, NotADirectoryError) as error:
        raise CatalogueError(f"{path} exists and is not a catalogue, or lies in a file; choose another path") from error
    except OSError as error:
        raise CatalogueError(f"no catalogue can be made at {path}: {error.strerror or error}") from error
    if foreign:
        raise CatalogueError(f"{path} exists and is not a catalogue; choose another path")
