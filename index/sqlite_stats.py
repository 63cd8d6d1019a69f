"""What is in a catalogue folder, counted."""

import os
import sqlite3
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from index.filled import Filled
from index.items import CatalogueStats
from index.label_tally import Tally, in_rank_order
from index.rows import catalogue_ranks
from index.view import View


def stats_of(filled: Filled, path: Path, connection: sqlite3.Connection, view: View, tally: Tally) -> CatalogueStats:
    """The statistics of a catalogue.

    Args:
        filled: what filled it.
        path: its folder.
        connection: inside a read transaction.
        view: as of that transaction or before.
        tally: as of that transaction.
    """
    num_items, num_unlabelled = connection.execute(
        "SELECT COUNT(*), COUNT(CASE labels WHEN '{}' THEN 1 END) FROM item WHERE deleted = 0"
    ).fetchone()
    ranks = catalogue_ranks(connection)
    snapshot = view.snapshot.info if view.snapshot else None
    return CatalogueStats(
        items=num_items,
        ranks=ranks,
        labels={rank: len(counts) for rank, counts in in_rank_order(tally, ranks).items()},
        unlabelled=num_unlabelled,
        encoder_id=filled.manifest.id,
        encoder_name=filled.manifest.name,
        dim=filled.manifest.embedding_dim,
        bundle_path=str(filled.bundle_path),
        snapshot_items=snapshot.count if snapshot else 0,
        snapshot_kind=snapshot.kind if snapshot else None,
        snapshot_recall=snapshot.recall if snapshot else None,
        snapshot_latency_ms=snapshot.latency_ms if snapshot else None,
        snapshot_memory_bytes=snapshot.memory_bytes if snapshot else None,
        snapshot_removed=view.num_removed,
        snapshot_trials=[asdict(trial) for trial in snapshot.choice.trials] if snapshot else [],
        tail_items=len(view.tail),
        last_change=view.seq,
        disk_bytes=_disk_bytes(path),
    )


def _disk_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, passing over those that another process removes meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(parent) / name).stat().st_size
    return total
