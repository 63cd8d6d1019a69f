"""Bulk indexing: a source of pictures into a catalogue.

    read, hash, decode (a pool of threads) -> encode (one thread, batches) -> commit (one transaction a batch)

with bounded queues between. A picture that cannot be used costs a row of rejected.csv and nothing else. What is
already in the catalogue with the same content is not encoded again, so the run after an interruption, however abrupt,
continues where the last transaction ended. One bulk run at a time.
"""

import csv
import fcntl
import hashlib
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.bundle import Bundle
from encoder.errors import CatalogueBusyError, CatalogueError, InputError
from encoder.image_encoder import ImageEncoder
from encoder.manifest import Preprocessing
from encoder.preprocessing import decode_picture, preprocess, read_picture
from index.catalogue import Catalogue
from index.items import NewItem
from index.progress import BuildProgress, Stages
from index.schema import DATABASE_NAME
from index.snapshot import ANN_DIR
from index.sources import SourcePicture
from index.thumbnails import LONGEST_SIDE, thumbnail_of

REJECTED_NAME = "rejected.csv"
LOCK_NAME = "writer.lock"
BATCH_SIZE = 32
# What becomes of a picture that can be used; each is a count of the report.
KINDS = ("encoded", "reused", "relabelled", "unchanged")


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


@dataclass(frozen=True)
class _Prepared:
    """A picture after reading: still to encode (`pixels`), to store as it is (`item`), or nothing to do (neither)."""

    picture: SourcePicture
    kind: str  # one of KINDS
    content_hash: str = ""
    pixels: NDArray[np.uint8] | None = None
    thumbnail: bytes = b""
    item: NewItem | None = None


def open_for_build(
    path: Path, bundle: Bundle, *, ranks: Sequence[str] = (), domain: str | None = None, fresh: bool = False
) -> Catalogue:
    """Open the catalogue at `path` for a bulk run with a bundle, making it if there is none.

    Raises:
        EncoderMismatchError: another encoder filled it and `fresh` was not said.
        CatalogueError: `path` holds something else.
    """
    exists = (path / DATABASE_NAME).is_file()
    if exists and fresh:
        with writing_alone(path):
            _delete_catalogue(path)
        exists = False
    if not exists:
        if path.exists() and (not path.is_dir() or _foreign_files(path)):
            raise CatalogueError(f"{path} exists and is not a catalogue; choose another path")
        return Catalogue.create(path, bundle, ranks=ranks, domain=domain)
    return Catalogue.open(path, encoder_id=bundle.manifest.id)


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
    """Index pictures, then publish a snapshot and write rejected.csv.

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
    stages = Stages({"decode": threads, "encode": 1, "commit": 1})
    started = time.monotonic()
    with writing_alone(catalogue.path):
        try:
            with BuildProgress(len(pictures), stages, quiet=quiet) as progress:
                for batch in _encoded_batches(catalogue, encoder, pictures, threads, batch_size, stages, report):
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
        if _snapshot_is_behind(catalogue):
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
    """
    with (path / LOCK_NAME).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CatalogueBusyError(
                f"another `lodisc index` command is writing to {path}; wait for it to end"
            ) from error
        yield


def _encoded_batches(
    catalogue: Catalogue,
    encoder: ImageEncoder,
    pictures: Sequence[SourcePicture],
    threads: int,
    batch_size: int,
    stages: Stages,
    report: BuildReport,
) -> Iterator[list[_Prepared]]:
    """Prepare ahead in a pool, encode a batch ahead in a thread of its own, and hand over batches in order."""
    with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(1) as encode_thread:
        encoding: deque[Future[list[_Prepared]]] = deque()
        batch: list[_Prepared] = []
        try:
            for picture, result in _prepared_in_order(
                catalogue, encoder, pictures, pool, 2 * batch_size + threads, stages
            ):
                if isinstance(result, InputError):
                    report.rejected.append((str(picture.path), result.message))
                    continue
                batch.append(result)
                if len(batch) == batch_size:
                    encoding.append(encode_thread.submit(_encode, encoder, batch, stages))
                    batch = []
                if len(encoding) > 1:
                    yield encoding.popleft().result()
            if batch:
                encoding.append(encode_thread.submit(_encode, encoder, batch, stages))
            while encoding:
                yield encoding.popleft().result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _prepared_in_order(
    catalogue: Catalogue,
    encoder: ImageEncoder,
    pictures: Sequence[SourcePicture],
    pool: ThreadPoolExecutor,
    ahead: int,
    stages: Stages,
) -> Iterator[tuple[SourcePicture, _Prepared | InputError]]:
    """Each picture prepared, or why it cannot be, in the order of the source, at most `ahead` at a time."""
    preprocessing = encoder.manifest.preprocessing
    waiting: deque[tuple[SourcePicture, Future[_Prepared | InputError]]] = deque()
    for picture in pictures:
        waiting.append((picture, pool.submit(_prepare, catalogue, preprocessing, picture, stages)))
        if len(waiting) >= ahead:
            first, future = waiting.popleft()
            yield first, future.result()
    while waiting:
        first, future = waiting.popleft()
        yield first, future.result()


def _prepare(
    catalogue: Catalogue, preprocessing: Preprocessing, picture: SourcePicture, stages: Stages
) -> _Prepared | InputError:
    """Read and hash a picture; decode it only if the catalogue does not know its content."""
    with stages.busy("decode"):
        try:
            data = read_picture(picture.path)
            content_hash = hashlib.sha256(data).hexdigest()
            known = catalogue.fingerprint(picture.id)
            if known == (content_hash, picture.labels, picture.metadata):
                return _Prepared(picture, "unchanged")
            same = catalogue.by_content(content_hash)
            if same is not None:
                kind = "relabelled" if known is not None and known[0] == content_hash else "reused"
                return _Prepared(picture, kind, item=_new_item(picture, content_hash, *same))
            decoded = decode_picture(data, min_side_wanted=max(preprocessing.image_size, LONGEST_SIDE))
            pixels = preprocess(decoded, preprocessing)
            return _Prepared(picture, "encoded", content_hash, pixels, thumbnail_of(decoded))
        except InputError as error:
            return error


def _encode(encoder: ImageEncoder, batch: Sequence[_Prepared], stages: Stages) -> list[_Prepared]:
    """Turn pixels into items; a content that occurs twice in the batch is encoded once."""
    pixels_by_content = {one.content_hash: one.pixels for one in batch if one.pixels is not None}
    if not pixels_by_content:
        return list(batch)
    with stages.busy("encode"):
        embedding_BD = encoder.encode(np.stack(list(pixels_by_content.values()))).embedding_BD
    by_content = dict(zip(pixels_by_content, embedding_BD, strict=True))
    return [
        one
        if one.pixels is None
        else _Prepared(
            one.picture,
            one.kind,
            item=_new_item(one.picture, one.content_hash, by_content[one.content_hash], one.thumbnail),
        )
        for one in batch
    ]


def _new_item(picture: SourcePicture, content_hash: str, embedding_D: NDArray[np.float32], thumbnail: bytes) -> NewItem:
    return NewItem(
        id=picture.id,
        labels=picture.labels,
        metadata=picture.metadata,
        source=str(picture.path),
        content_hash=content_hash,
        embedding=embedding_D,
        thumbnail=thumbnail,
    )


def _settle_missing(catalogue: Catalogue, pictures: Sequence[SourcePicture], report: BuildReport, prune: bool) -> None:
    """Count, and with `prune` delete, the items that the source does not have."""
    in_source = {picture.id for picture in pictures}
    missing = [item_id for item_id in catalogue.ids() if item_id not in in_source]
    report.not_in_source, report.pruned = len(missing), prune
    if prune and missing:
        catalogue.delete(missing)


def _snapshot_is_behind(catalogue: Catalogue) -> bool:
    view = catalogue.refresh()
    return view.snapshot is None or view.snapshot_seq < view.seq


def _write_rejected(path: Path, rejected: Sequence[tuple[str, str]]) -> None:
    """The quarantine report, by rename; there also when nothing was rejected, so that it is never an older run's."""
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "reason"])
        writer.writerows(rejected)
    partial.replace(path)


def _delete_catalogue(path: Path) -> None:
    """Remove what makes a catalogue, and nothing else that may lie in the folder."""
    for suffix in ("", "-wal", "-shm"):
        (path / f"{DATABASE_NAME}{suffix}").unlink(missing_ok=True)
    shutil.rmtree(path / ANN_DIR, ignore_errors=True)


def _foreign_files(path: Path) -> bool:
    return any(file.name not in (LOCK_NAME, REJECTED_NAME, ANN_DIR) for file in path.iterdir())
