"""Holding a catalogue's promises against what is there: the database, the snapshot derived of it, the pictures.

Looking writes nothing and may be done beside a running server and writers, which it does not keep from their work; a
compaction waits until the snapshot has been looked at. Memory does not grow with pictures or vectors.
"""

import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from encoder.manifest import parse_manifest
from index.following import reading
from index.locks import COMPACTION_LOCK, looking
from index.schema import DATABASE_NAME
from index.snapshot import ANN_DIR
from index.sources.picture import Source
from index.verification_findings import Check, Report
from index.verification_pictures import Wanted, find_pictures
from index.verification_repair import Means, rebuild_indexes, repair
from index.verification_snapshot import check_leftovers, check_snapshot
from index.verification_truth import (
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


def verify(path: Path, *, means: Means | None, quick: bool = False, mend: bool = False, tell: Tell) -> Report:
    """Look through the catalogue at `path`, and mend what can be.

    Args:
        path: its folder.
        means: where pictures are looked for, and what a repair may use; None leaves the pictures alone.
        quick: do not hold SQLite's indexes against its tables.
        mend: repair.
        tell: told how far each part is.

    Raises:
        CatalogueError: there is no catalogue, or its database cannot even be opened.
        CatalogueBusyError: `mend`, and a bulk run is at work.
    """
    report = _look(path, quick=quick, tell=tell)
    if mend:
        report = _mended(path, report, means or Means(), quick=quick, tell=tell)
    if means is None or not report.of("database").remaining == 0:
        return report
    return Report((*report.checks, *check_pictures(path, means.source, means.threads, tell)))


def _look(path: Path, *, quick: bool, tell: Tell) -> Report:
    """Everything but the pictures."""
    lock = path / ANN_DIR / COMPACTION_LOCK
    with looking(lock, wait=False) as free:
        if not free:
            sys.stderr.write("a snapshot is being built; waiting for it\n")
    # The transaction begins after the lock is held, so no snapshot can be newer than what it sees.
    with looking(lock, wait=True), reading(path) as connection:
        tell("database", 0, 0)
        database = check_database(connection, quick=quick)
        database.remedy = (
            f"restore a copy of {path / DATABASE_NAME}; without one: "
            f"lodisc index build {path} --images SOURCE --bundle {_meta(connection, database, 'bundle_path')} --fresh"
        )
        if database.found:
            database.note = "nothing else was looked at, because nothing that a damaged database says can be relied on"
            return Report((database,))
        dim = _dim(path, connection)
        checks = (
            database,
            check_embeddings(connection, dim, tell),
            check_thumbnails(connection),
            check_orphans(connection),
            check_changes(connection),
            check_documents(connection),
            check_hashes(connection),
            check_snapshot(path, connection, dim, tell),
            check_leftovers(path),
        )
        bundle_path = _meta(connection, database, "bundle_path")
    for check in checks[1:]:
        check.remedy = f"lodisc index verify {path} --repair"
    for check in checks[1:3]:
        check.remedy += " (with --source SOURCE where the pictures have moved, --bundle BUNDLE where the encoder has)"
    checks[6].remedy = f"lodisc index build {path} --images SOURCE --bundle {bundle_path}"
    return Report(checks)


def _mended(path: Path, report: Report, means: Means, *, quick: bool, tell: Tell) -> Report:
    """The report after everything was repaired that can be."""
    first = report
    if report.of("database").found:
        if not rebuild_indexes(path):
            return report
        report = _look(path, quick=quick, tell=tell)
    with reading(path) as connection:
        dim = _dim(path, connection)
    repair(path, report, dim, means, tell)
    return first.after_repair(report.after_repair(_look(path, quick=quick, tell=tell)))


def check_pictures(path: Path, source: Source | None, threads: int, tell: Tell) -> tuple[Check, Check]:
    """Whether each item's picture is where it was indexed from, or in `source`, and still has the content."""
    there = Check(name="pictures", promise="the picture of every item is there and can be read", kind="source")
    same = Check(name="content", promise="and is the one that was indexed", kind="source")
    with reading(path) as connection:
        (total,) = connection.execute("SELECT COUNT(*) FROM item WHERE deleted = 0").fetchone()
        bundle_path = _meta(connection, there, "bundle_path")
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
    there.remedy = f"lodisc index build {path} --images SOURCE --bundle {bundle_path} --prune"
    same.remedy = f"lodisc index build {path} --images SOURCE --bundle {bundle_path}"
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
    (text,) = connection.execute("SELECT value FROM meta WHERE key = 'manifest'").fetchone()
    return parse_manifest(json.loads(text), f"{path / DATABASE_NAME} (manifest)").embedding_dim


def _meta(connection: sqlite3.Connection, check: Check, key: str) -> str:
    return ""
