"""Bulk indexing: a source of pictures into a catalogue.

    read, hash, decode (a pool of threads) -> encode (batches, a few at once) -> commit (one transaction a batch)

with bounded queues between; what has to be known of all pictures (their ids) is kept on disk, so memory does not grow
with the source. A picture that cannot be used costs a row of rejected.csv and nothing else. What is
already in the catalogue with the same content is not encoded again, so the run after an interruption, however abrupt,
continues where the last transaction ended. One bulk run at a time: another waits a while, then says so.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from encoder.bundle import Bundle
from encoder.errors import CatalogueError, ConfigError, IdTakenError, InputError
from encoder.image_encoder import ImageEncoder
from index.answers.calibration import CALIBRATION_NAME, is_calibration
from index.bulk_compaction import BulkCompaction
from index.catalogue import Catalogue
from index.disk_map import DiskMap
from index.locks import WRITER_LOCK, writing_alone
from index.open_catalogue import open_catalogue, open_store_for_build, same_store
from index.pipeline import Pipeline
from index.prepared import KINDS, Engine, Prepared
from index.progress import BuildProgress, Stages
from index.rejected import REJECTED_NAME, Rejected
from index.schema import DATABASE_NAME, LOG_NAMES, PARTIAL_PREFIX
from index.snapshot import ANN_DIR
from index.sources.files import is_url
from index.sources.picture import PictureFacts, Source, SourcePicture, UnreadablePart
from index.sqlite_catalogue import SqliteCatalogue
from index.store_file import read_store
from index.text import is_text

# Several calls of the encoder are under way at once: larger batches are no faster on a CPU, hold more activations in
# memory, and more of them is lost when a run is killed.
BATCH_SIZE = 16
NETWORK_THREADS = 16

KEYS_NAME = "keys.json"  # of `lodisc key`, which may come before the catalogue and outlives it


@dataclass(kw_only=True)
class BuildReport:
    """What a bulk run did.

    Attributes:
        total: pictures of the source, as far as the run went.
        encoded: put into the catalogue after encoding.
        reused: put in with the embedding of an item of the same content.
        relabelled: only labels, metadata or the place of the file changed; not encoded again.
        unchanged: already there.
        num_rejected: that could not be used; rejected.csv has all.
        num_id_taken: of those, that have the id of an item from another place, which was kept.
        rejected: location and reason of the first of them.
        not_in_source: items of the catalogue that the source no longer has (kept, or deleted with prune).
        pruned: whether those were deleted.
        incomplete: a part of the source could not be read, so nothing was pruned.
        stopped: the run was asked to stop; the next one continues.
        seconds: wall time.
        stage_seconds: least time each stage needs, its busy time over its workers.
        limited_by: the stage that the others waited for.
    """

    total: int = 0
    encoded: int = 0
    reused: int = 0
    relabelled: int = 0
    unchanged: int = 0
    num_rejected: int = 0
    num_id_taken: int = 0
    rejected: list[tuple[str, str]] = field(default_factory=list)
    not_in_source: int = 0
    pruned: bool = False
    incomplete: bool = False
    stopped: bool = False
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    limited_by: str | None = None


def open_for_build(
    path: Path,
    bundle: Bundle,
    *,
    variant: str | None = None,
    ranks: Sequence[str] = (),
    domain: str | None = None,
    fresh: bool = False,
    store: str | None = None,
) -> Catalogue:
    """Open the catalogue at `path` for a bulk run with a bundle, making it if there is none.

    The catalogue remembers where the bundle is now, and the ranks if they are given. A new one remembers the variant,
    fp32 if None.

    Args:
        path: of the catalogue folder.
        bundle: of the encoder.
        variant: of the bundle.
        ranks: of the labels, finest first.
        domain: what the pictures are.
        fresh: throw away what is there.
        store: address of the server that is to hold the items, as of `index.milvus.address`; None for where they are
            already, or the folder.

    Raises:
        ConfigError: `store` is no address, or the items are elsewhere already.
        BundleNotFoundError: the bundle has no such variant.
        EncoderMismatchError: another encoder, or a variant that sees other patches, filled it and `fresh` was not said.
        CatalogueBusyError: another bulk run is at work there.
        CatalogueError: `path` holds something else, or cannot be written.
    """
    if variant is not None:
        bundle.variant(variant)  # before a folder is made, or what is there thrown away
    exists = (path / DATABASE_NAME).is_file()
    known = read_store(path)
    if not exists and known is None:
        claim(path)
    if store is not None or known is not None:
        if exists or (store is not None and known is not None and not same_store(store, known)):
            raise ConfigError(
                f"the items of {path} are in {known or 'the folder itself'}; choose another folder for --store {store}"
            )
        with writing_alone(path):
            return open_store_for_build(
                path, store or str(known), bundle, variant=variant, ranks=ranks, domain=domain, fresh=fresh
            )
    if exists and not fresh:
        catalogue = open_catalogue(path, encoder_id=bundle.manifest.id)
        try:
            catalogue.choose_variant(bundle, variant)
            with writing_alone(path):
                catalogue.remember(bundle_path=bundle.path, ranks=ranks)
        except BaseException:
            catalogue.close()
            raise
        return catalogue
    with writing_alone(path):
        if exists:
            _delete_catalogue(path)
        return SqliteCatalogue.create(path, bundle, variant=variant or "fp32", ranks=ranks, domain=domain)


def build(
    catalogue: Catalogue,
    encoder: ImageEncoder,
    source: Source,
    *,
    threads: int | None = None,
    encoder_calls: int = 1,
    batch_size: int = BATCH_SIZE,
    prune: bool | None = False,
    compact_after: int = 0,
    keep_rejected: Callable[[str], bool] | None = None,
    keep_taken: bool = False,
    stop: Event | None = None,
    quiet: bool = False,
) -> BuildReport:
    """Index the pictures of a source with threads of this process.

    Args:
        catalogue: to fill; its encoder is `encoder`.
        encoder: for the embeddings.
        source: of the pictures.
        threads: that read and decode; if None, as many as there are cores, more where pictures come over a network.
        encoder_calls: of the encoder at once; see `index.division`.
        batch_size: pictures in one call of the encoder and one transaction.
        prune: as for `fill`, like what follows.
        compact_after: changes without a snapshot.
        keep_rejected: rows of rejected.csv.
        keep_taken: replace no item of another place; see `index.prepared.prepared_if_known`.
        stop: ends the run.
        quiet: show no progress.

    Raises:
        CatalogueBusyError: another bulk run is writing to this catalogue.
    """
    threads = threads or _default_threads(source)
    stages = Stages({("read", "decode"): threads, ("encode",): encoder_calls})
    pipeline = Pipeline(
        catalogue, encoder, threads=threads, encoder_calls=encoder_calls, batch_size=batch_size, stages=stages,
        keep_taken=keep_taken,
    )  # fmt: skip
    return fill(
        catalogue, pipeline, source, prune=prune, compact_after=compact_after, keep_rejected=keep_rejected, stop=stop,
        quiet=quiet,
    )  # fmt: skip


def fill(
    catalogue: Catalogue,
    engine: Engine,
    source: Source,
    *,
    prune: bool | None = False,
    compact_after: int = 0,
    keep_rejected: Callable[[str], bool] | None = None,
    stop: Event | None = None,
    quiet: bool = False,
) -> BuildReport:
    """Index the pictures of a source, publish a snapshot where one is due, and write rejected.csv.

    Only this process writes to the catalogue, wherever the engine works.

    Args:
        catalogue: to fill; its encoder is that of the engine.
        engine: what prepares the pictures.
        source: of the pictures.
        prune: delete items that are not in the source; None does not even count them.
        compact_after: publish a snapshot if there are more changes than this since the last one.
        keep_rejected: of which locations rejected.csv keeps its earlier rows; of none if None.
        stop: end after the transaction at hand once this is set, without pruning and without a snapshot.
        quiet: show no progress.

    Raises:
        CatalogueBusyError: another bulk run is writing to this catalogue.
    """
    report = BuildReport()
    started = time.monotonic()

    def reject(facts: PictureFacts, error: InputError) -> None:
        rejected.add(facts.location, error.message)
        report.num_id_taken += isinstance(error, IdTakenError)

    with writing_alone(catalogue.path), DiskMap() as seen:
        remove_partials(catalogue.path)
        compaction = BulkCompaction(catalogue, compact_after)
        with (
            Rejected(catalogue.path, keep_rejected) as rejected,
            BuildProgress(source.num_pictures, engine.stages, quiet=quiet) as progress,
            closing(engine.batches(_pictures(source, seen, rejected, report), reject)) as batches,
        ):
            for batch in batches:
                with engine.stages.busy("commit"):
                    done = _commit(catalogue, batch, rejected)
                for prepared in done:
                    setattr(report, prepared.kind, getattr(report, prepared.kind) + 1)
                progress.advance_to(sum(getattr(report, kind) for kind in KINDS) + rejected.count)
                if stop is not None and stop.is_set():
                    report.stopped = True
                    break
        report.num_rejected, report.rejected = rejected.count, rejected.first
        if not report.stopped:
            if prune is not None:
                _settle_missing(catalogue, seen, report, prune)
            if compaction.is_due():
                with engine.stages.busy("snapshot"):
                    compaction.run()
    report.seconds = time.monotonic() - started
    report.stage_seconds = engine.stages.load()
    report.limited_by = engine.stages.limiting()
    return report


def _commit(catalogue: Catalogue, batch: Sequence[Prepared], rejected: Rejected) -> Sequence[Prepared]:
    """Put the items of a batch into the catalogue; those pictures of it that are settled now."""
    items = [prepared.item for prepared in batch if prepared.item is not None]
    try:
        if items:
            catalogue.put(items)
    except InputError as error:
        if len(batch) > 1:  # one of them is no item for this store
            return [done for prepared in batch for done in _commit(catalogue, [prepared], rejected)]
        rejected.add(batch[0].facts.location, error.message)
        return []
    return batch


def _pictures(source: Source, seen: DiskMap, rejected: Rejected, report: BuildReport) -> Iterator[SourcePicture]:
    """The pictures of a source that are to be prepared; each id once, the first time it is met."""
    for found in source:
        if isinstance(found, UnreadablePart):
            report.incomplete = True
            rejected.add(found.location, found.reason)
            continue
        report.total += 1
        facts = found.facts
        # What no database holds would end the run when it is written, with all that is written beside it.
        if not is_text(facts.id):
            rejected.add(facts.location, f"its id {facts.id!a} is not UTF-8; rename the file, or give it another id")
            continue
        earlier = seen.add(facts.id, facts.location)
        if earlier is not None:
            rejected.add(facts.location, f"its id {facts.id!r} is that of {earlier}; ids must differ")
        elif not is_text(json.dumps([facts.labels, facts.metadata], ensure_ascii=False)):
            rejected.add(
                facts.location, "a label or metadata of it is not UTF-8: half a surrogate pair; mend that text"
            )
        else:
            yield found


def _default_threads(source: Source) -> int:
    """As many as there are cores; more where a thread mostly waits for the network."""
    cores = os.cpu_count() or 1
    return max(NETWORK_THREADS, cores) if is_url(source.location) else cores


def _settle_missing(catalogue: Catalogue, seen: DiskMap, report: BuildReport, prune: bool) -> None:
    """Count, and with `prune` delete, the items that the source does not have."""
    missing = (item_id for item_id in catalogue.ids() if item_id not in seen)
    report.pruned = prune and not report.incomplete
    report.not_in_source = catalogue.delete(missing) if report.pruned else sum(1 for _ in missing)


def remove_partials(path: Path) -> None:
    """Remove what a run left aside that was killed before it could rename or remove it."""
    for partial in path.glob(f"{PARTIAL_PREFIX}*"):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def _delete_catalogue(path: Path) -> None:
    """Remove what makes a catalogue, and nothing else that may lie in the folder."""
    shutil.rmtree(path / ANN_DIR, ignore_errors=True)  # first: a kill must not leave a snapshot to another database
    for name in (CALIBRATION_NAME, DATABASE_NAME, *LOG_NAMES):  # nor a calibration: it was fitted on other items
        (path / name).unlink(missing_ok=True)


def claim(path: Path) -> None:
    """Make the folder of a catalogue, or see that what is there may become one.

    Raises:
        CatalogueError: it is something else, or cannot be made.
    """
    ours = (WRITER_LOCK, REJECTED_NAME, ANN_DIR, KEYS_NAME, *LOG_NAMES)
    calibrated = is_calibration(path / CALIBRATION_NAME)
    try:
        path.mkdir(parents=True, exist_ok=True)
        foreign = [
            file.name
            for file in path.iterdir()
            if file.name not in ours
            and not file.name.startswith((PARTIAL_PREFIX, f"{KEYS_NAME}."))  # its lock, and what a kill left of it
            and not (calibrated and file.name == CALIBRATION_NAME)
        ]
    except (FileExistsError, NotADirectoryError) as error:
        raise CatalogueError(f"{path} exists and is not a catalogue, or lies in a file; choose another path") from error
    except OSError as error:
        raise CatalogueError(f"no catalogue can be made at {path}: {error.strerror or error}") from error
    if foreign:
        raise CatalogueError(
            f"{path} exists and is not a catalogue: there is {min(foreign)!r} in it; choose another path"
        )
    if calibrated:
        (path / CALIBRATION_NAME).unlink()  # it was fitted on the items of a database that is gone
