"""Holding a catalogue's promises against what is there: the database, the snapshot derived of it, the pictures.

Looking writes nothing and may be done beside a running server and writers, which it does not keep from their work; a
compaction waits until the snapshot has been looked at. Memory does not grow with pictures or vectors.
"""

import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from encoder.errors import CatalogueCorruptError
from encoder.manifest import parse_manifest
from encoder.shell_words import path_word
from index.answers.local_check import check_local
from index.following import reading
from index.locks import COMPACTION_LOCK, looking
from index.schema import DATABASE_NAME
from index.snapshot import ANN_DIR, newest_snapshot
from index.sources.picture import Source
from index.verification_findings import Check, Report
from index.verification_pictures import Wanted, find_pictures
from index.verification_repair import Means, rebuild_indexes, repair
from index.verification_snapshot import check_leftovers, check_snapshot
from index.verification_truth import (
    WHOLE,
    Tell,
    check_changes,
    check_database,
    check_documents,
    check_embeddings,
    check_hashes,
    check_orphans,
    check_thumbnails,
)

PAGE = 1000  # items asked for at a time, so that no transaction stays open while pictures are read


def verify(path: Path, *, means: Means | None, mend: bool = False, tell: Tell) -> Report:
    """Look through the catalogue at `path`, and mend what can be.

    Args:
        path: its folder.
        means: where pictures are looked for, and what a repair may use; None leaves the pictures alone, so that what
            can only be made of them stays as it is.
        mend: repair.
        tell: told how far each part is.

    Raises:
        CatalogueNotFoundError: there is none.
        SchemaVersionError: a newer version of this program wrote it.
        CatalogueError: its files cannot be read, or `mend` and they cannot be written.
        CatalogueBusyError: `mend`, and a bulk run is at work and does not end.
        EncoderMismatchError: the bundle that is given is another encoder's.
    """
    report = _look(path, tell)
    if mend:
        report = _mended(path, report, means, tell)
    if means is None or report.of("database").remaining:
        return report
    return Report((*report.checks, *check_pictures(path, means.source, means.threads, tell)))


def _look(path: Path, tell: Tell) -> Report:
    """Everything but the pictures."""
    lock = path / ANN_DIR / COMPACTION_LOCK
    with looking(lock, wait=False) as free:
        if not free:
            sys.stderr.write("a snapshot is being built; waiting for it\n")
    try:
        # Asked for before the transaction begins: no snapshot that is published meanwhile seems to be ahead of it.
        with looking(lock, wait=True):
            leftovers, seq = check_leftovers(path), newest_snapshot(path)
            with reading(path) as connection:
                tell("database", 0, 0)
                database = check_database(connection)
                if database.found:
                    return _damaged(path, database, _bundle_path(connection))
                dim, bundle_path = _dim(path, connection), _bundle_path(connection)
                checks: tuple[Check, ...] = (
                    database,
                    check_embeddings(connection, dim, tell),
                    check_thumbnails(connection),
                    check_orphans(connection),
                    check_changes(connection),
                    check_documents(connection),
                    check_hashes(connection),
                    check_snapshot(path, seq, connection, dim, tell),
                    leftovers,
                )
                local = check_local(connection)
    except CatalogueCorruptError as error:  # so damaged that it cannot even be asked
        database = Check(name="database", promise=WHOLE)
        database.add(error.message)
        return _damaged(path, database, "BUNDLE")
    checks = (*checks, local) if local is not None else checks
    for check in checks:
        check.remedy = f"lodisc index verify {path_word(path)} --repair"
    report = Report(checks)
    for name in ("embeddings", "thumbnails"):
        report.of(name).remedy = (
            f"lodisc index verify {path_word(path)} --repair --source SOURCE --bundle BUNDLE, where its picture and "
            f"the encoder are now; where the picture is gone: lodisc index remove {path_word(path)} ID"
        )
    report.of("hashes").remedy = f"lodisc index build {path_word(path)} --images SOURCE --bundle {bundle_path}"
    return report


def _damaged(path: Path, database: Check, bundle_path: str) -> Report:
    """The report on a database that cannot be relied on."""
    database.note = "nothing else was looked at: what a damaged database says cannot be relied on"
    database.remedy = (
        f"restore a copy of {path / DATABASE_NAME}; without one, fill it anew: "
        f"lodisc index build {path_word(path)} --images SOURCE --bundle {bundle_path} --fresh"
    )
    return Report((database,))


def _mended(path: Path, report: Report, means: Means | None, tell: Tell) -> Report:
    """The report after everything was repaired that can be."""
    first = report
    if report.of("database").found:
        if not rebuild_indexes(path):
            return report
        report = _look(path, tell)
        if report.of("database").found:
            return report
    with reading(path) as connection:
        dim = _dim(path, connection)
    repair(path, report, dim, means, tell)
    again = report.after_repair(_look(path, tell))
    return again if first is report else first.after_repair(again)


def check_pictures(path: Path, source: Source | None, threads: int, tell: Tell) -> tuple[Check, Check]:
    """Whether each item's picture is where it was indexed from, or in `source`, and still has the content."""
    there = Check(name="pictures", promise="the picture of every item is there and can be read", kind="source")
    same = Check(name="content", promise="the picture of every item is the one that was indexed", kind="source")
    with reading(path) as connection:
        (total,) = connection.execute("SELECT COUNT(*) FROM item WHERE deleted = 0").fetchone()
        bundle_path = _bundle_path(connection)
    not_looked_at, nowhere, reason = 0, 0, ""
    for done, found in enumerate(find_pictures(_all_items(path), source, threads), 1):
        tell("pictures", done, total)
        item = found.item
        if found.state == "nowhere":
            nowhere += 1
        elif found.state == "away":
            not_looked_at += 1
            reason = reason or found.reason
        else:
            there.looked_at += 1
            same.looked_at += found.state in ("same", "changed")
            # An item may have been replaced since it was listed; then nothing is wrong with it.
            if found.state != "same" and _is_still(path, item):
                check = same if found.state == "changed" else there
                check.add(f"{item.id!a}: {found.reason or f'{item.location} has other content'}", item.row)
    notes = [f"{nowhere} items were put by clients and have no picture file"] if nowhere else []
    if not_looked_at:
        notes.append(
            f"{not_looked_at} could not be looked for (the first: {reason}); where pictures have moved: --source SOURCE"
        )
    there.note = "; ".join(notes) or None
    build = f"lodisc index build {path_word(path)} --images SOURCE --bundle {bundle_path}"
    there.remedy = f"lodisc index remove {path_word(path)} ID; if all items are of one SOURCE: {build} --prune"
    same.remedy = build
    return there, same


def _all_items(path: Path) -> Iterator[Wanted]:
    last = -1
    while True:
        with reading(path) as connection:
            page = connection.execute(
                "SELECT row, id, source, content_hash FROM item WHERE deleted = 0 AND row > ? ORDER BY row LIMIT ?",
                (last, PAGE),
            ).fetchall()
        yield from (Wanted(*columns) for columns in page)
        if len(page) < PAGE:
            return
        last = page[-1][0]


def _is_still(path: Path, item: Wanted) -> bool:
    with reading(path) as connection:
        found = connection.execute("SELECT 1 FROM item WHERE row = ? AND deleted = 0", (item.row,)).fetchone()
    return found is not None


def _dim(path: Path, connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT value FROM meta WHERE key = 'manifest'").fetchone()
    if found is None:
        raise CatalogueCorruptError(f"{path / DATABASE_NAME} does not say which encoder filled it")
    return parse_manifest(json.loads(found[0]), f"{path / DATABASE_NAME} (manifest)").embedding_dim


def _bundle_path(connection: sqlite3.Connection) -> str:
    """Where the bundle was, for a command that a person can run; BUNDLE if the database cannot tell."""
    try:
        found = connection.execute("SELECT value FROM meta WHERE key = 'bundle_path'").fetchone()
    except sqlite3.DatabaseError:  # of a damaged database, which is what is told then
        return "BUNDLE"
    return "BUNDLE" if found is None else path_word(found[0])
