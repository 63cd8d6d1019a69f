"""Repairing what can be derived: of the database itself, of the pictures where they were left, of nothing else.

Searches and single writes go on meanwhile, in this process and in others, so a repair is a change like any other: an
item that is mended gets a new row, and what a running search may still hold is noted as removed. No item is deleted.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.bundle import Bundle
from encoder.errors import BundleNotFoundError, PictureError
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess
from index.answers.local_check import drop_faulty
from index.build import BATCH_SIZE, remove_partials
from index.division import bulk_encoder
from index.locks import compacting_alone, writing_alone
from index.rows import move
from index.schema import connect, transaction
from index.snapshot import newest_snapshot
from index.snapshot_build import remove_other_snapshots
from index.sources.picture import Source
from index.sqlite_catalogue import SqliteCatalogue
from index.thumbnails import thumbnail_of
from index.vectors import STORED_DTYPE, pack
from index.verification_findings import Report
from index.verification_pictures import Found, Wanted, find_pictures
from index.verification_truth import (
    CHANGE_FAULTS,
    ORPHANS,
    Tell,
    document_faults,
    lengths_of,
    only_in_indexes,
    sqlite_faults,
)


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a repair may use.

    Attributes:
        source: where the pictures are now, if not where they were indexed from.
        bundle: where the encoder is now, if not where it was.
        threads: that read pictures.
    """

    source: Source | None = None
    bundle: Path | None = None
    threads: int = 1


def rebuild_indexes(path: Path) -> bool:
    """Have SQLite build its indexes anew if all that is wrong is in them; returns whether the database is whole now."""
    connection = connect(path)
    try:
        if not only_in_indexes(sqlite_faults(connection)):
            return False
        with transaction(connection, path):
            connection.execute("REINDEX")
        return not sqlite_faults(connection)
    finally:
        connection.close()


def repair(path: Path, report: Report, dim: int, means: Means | None, tell: Tell) -> None:
    """Repair what `report` found in the catalogue at `path`; whoever wants to know what came of it looks again.

    Without means nothing is made of pictures. What there is to say of a repair becomes a note of its check.

    Raises:
        CatalogueBusyError: a bulk run is at work there and did not end.
        CatalogueError: it cannot be written to.
        EncoderMismatchError: the bundle that was given is another encoder's.
    """
    with writing_alone(path):
        remove_partials(path)
        connection = connect(path)
        moves: dict[int, int] = {}  # rows that items had -> that they have now
        try:
            with transaction(connection, path):
                _drop_unusable(connection, report.of("embeddings").rows, dim)
                _remove_orphans(connection)
                drop_faulty(connection)
                _note_changes(connection, moves)
                _empty_documents(connection, report, moves)
            with SqliteCatalogue.open(path) as catalogue:
                if means is not None:
                    doubtful = {_moved(row, moves) for row in report.of("embeddings").rows}
                    _from_pictures(catalogue, connection, doubtful, report, means, tell)
                _renew_snapshot(catalogue, report)
        finally:
            connection.close()


def _remove_orphans(connection: sqlite3.Connection) -> None:
    for row in {row for row, _ in connection.execute(ORPHANS)}:
        connection.execute("DELETE FROM embedding WHERE row = ?", (row,))
        connection.execute("DELETE FROM thumbnail WHERE row = ?", (row,))
        connection.execute("INSERT INTO change (row, kind) VALUES (?, 'remove')", (row,))


def _note_changes(connection: sqlite3.Connection, moves: dict[int, int]) -> None:
    for row, live, _, _ in connection.execute(CHANGE_FAULTS).fetchall():
        if live:
            moves[row] = move(connection, row)
        else:
            connection.execute("INSERT INTO change (row, kind) VALUES (?, 'remove')", (row,))


def _empty_documents(connection: sqlite3.Connection, report: Report, moves: dict[int, int]) -> None:
    for row, _, column in list(document_faults(connection)):
        if row not in moves:  # once where both are faulty
            moves[row] = move(connection, row)
        connection.execute(f"UPDATE item SET {column} = '{{}}' WHERE row = ?", (moves[row],))
        report.of("documents").note = "emptied; `lodisc index build` takes them from the source again"


def _moved(row: int, moves: dict[int, int]) -> int:
    """The row that an item has now."""
    while row in moves:
        row = moves[row]
    return row


def _drop_unusable(connection: sqlite3.Connection, rows: Iterable[int], dim: int) -> None:
    """Drop embeddings that would spoil the searches for other items: those of another length, or not finite."""
    for row in rows:
        found = connection.execute("SELECT vector FROM embedding WHERE row = ?", (row,)).fetchone()
        if found is not None and not _is_usable(found[0], dim):
            connection.execute("DELETE FROM embedding WHERE row = ?", (row,))


def _is_usable(vector: object, dim: int) -> bool:
    if not isinstance(vector, bytes) or len(vector) != dim * STORED_DTYPE.itemsize:
        return False
    return bool(np.isfinite(lengths_of([vector], dim)).all())


def _from_pictures(
    catalogue: SqliteCatalogue,
    connection: sqlite3.Connection,
    doubtful: set[int],
    report: Report,
    means: Means,
    tell: Tell,
) -> None:
    """Make thumbnails and embeddings anew that are missing or `doubtful`, of pictures that are those indexed."""
    unembedded = _lacking(connection, "embedding") | {row for row in doubtful if _is_live(connection, row)}
    rows = sorted(unembedded | _lacking(connection, "thumbnail"))
    if not rows:
        return
    encoder = _encoder(catalogue, report, means) if unembedded else None
    batch = list[Found]()
    for done, found in enumerate(find_pictures(_wanted(connection, rows), means.source, means.threads), 1):
        tell("repair", done, len(rows))
        if found.state == "same":
            batch.append(found)
        if len(batch) == BATCH_SIZE:
            _write(catalogue, connection, batch, unembedded, encoder)
            batch = []
    _write(catalogue, connection, batch, unembedded, encoder)


def _lacking(connection: sqlite3.Connection, table: str) -> set[int]:
    """Live rows that a table has nothing of."""
    lacking = connection.execute(f"SELECT row FROM item WHERE deleted = 0 AND row NOT IN (SELECT row FROM {table})")
    return {row for (row,) in lacking}


def _is_live(connection: sqlite3.Connection, row: int) -> bool:
    found = connection.execute("SELECT 1 FROM item WHERE row = ? AND deleted = 0", (row,)).fetchone()
    return found is not None


def _wanted(connection: sqlite3.Connection, rows: Iterable[int]) -> Iterator[Wanted]:
    for row in rows:
        yield Wanted(
            *connection.execute("SELECT row, id, source, content_hash FROM item WHERE row = ?", (row,)).fetchone()
        )


def _encoder(catalogue: SqliteCatalogue, report: Report, means: Means) -> ImageEncoder | None:
    """The encoder that filled the catalogue, None where it has moved and nobody has said where to."""
    try:
        bundle: Bundle = catalogue.find_bundle(means.bundle)
    except BundleNotFoundError as error:
        if means.bundle is not None:
            raise
        report.of("embeddings").note = error.message
        return None
    return bulk_encoder(bundle, variant=catalogue.variant)[0]


def _write(
    catalogue: SqliteCatalogue,
    connection: sqlite3.Connection,
    batch: list[Found],
    unembedded: set[int],
    encoder: ImageEncoder | None,
) -> None:
    """Thumbnails and embeddings of some pictures, in one transaction."""
    preprocessing = catalogue.manifest.preprocessing
    thumbnails, pixels = dict[int, bytes](), dict[int, NDArray[np.uint8]]()
    for found in batch:
        try:
            decoded = decode_picture(found.data, min_side_wanted=preprocessing.image_size)
        except PictureError:
            continue  # it stays a finding
        thumbnails[found.item.row] = thumbnail_of(decoded)
        if encoder is not None and found.item.row in unembedded:
            pixels[found.item.row] = preprocess(decoded, preprocessing)
    vectors = encoder.encode(np.stack(list(pixels.values()))).embedding_BD if encoder is not None and pixels else ()
    with transaction(connection, catalogue.path):
        live = {row for row in thumbnails if _is_live(connection, row)}
        for row in live:
            connection.execute("INSERT OR IGNORE INTO thumbnail VALUES (?, ?)", (row, thumbnails[row]))
        for row, vector_D in zip(pixels, vectors, strict=True):
            if row in live:
                connection.execute("DELETE FROM embedding WHERE row = ?", (row,))
                blob = pack(vector_D, catalogue.manifest.embedding_dim)
                connection.execute("INSERT INTO embedding VALUES (?, ?)", (move(connection, row), blob))


def _renew_snapshot(catalogue: SqliteCatalogue, report: Report) -> None:
    """Another snapshot in place of a damaged or missing one; beside a whole one only leftovers are removed."""
    newest = newest_snapshot(catalogue.path)
    if report.of("snapshot").found or (newest is None and catalogue.count()):
        info = catalogue.compact()
        report.of("snapshot").note = f"built anew, of {info.count} items"
    elif newest is not None:
        with compacting_alone(catalogue.path):
            remove_other_snapshots(catalogue.path, keep=newest)
