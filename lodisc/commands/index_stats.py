"""`lodisc index stats`: what is in a catalogue."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from encoder.shell_words import path_word
from index.answers.calibration import Calibration
from index.answers.follower import CalibrationFollower
from index.answers.local_stats import local_document, local_lines
from index.items import CatalogueStats
from index.open_catalogue import open_catalogue

STALE_SHARE = 0.2  # of the items, added or removed since a calibration

STATS_HELP = """\
Say what is in the catalogue.

examples:
  lodisc index stats catalogue/
  lodisc index stats catalogue/ --json
"""


def add_stats_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run_stats(args: argparse.Namespace) -> int:
    """Print it."""
    with open_catalogue(args.catalogue) as catalogue:
        stats = catalogue.stats()
        calibration = CalibrationFollower(catalogue.path, catalogue.manifest).current()
        local, lines = local_document(catalogue), local_lines(catalogue)
    if args.json:
        more = {"calibration": _calibration_document(stats, calibration), "local": local}
        print(json.dumps(asdict(stats) | more, indent=2))
    else:
        print("\n".join([_stats_text(args.catalogue, stats, calibration), *lines]))
    return 0


def _calibration_document(stats: CatalogueStats, calibration: Calibration | None) -> dict[str, Any] | None:
    if calibration is None:
        return None
    return {
        "items": calibration.num_items,
        "questions": calibration.num_questions,
        "changes_since": _changes_since(stats, calibration),
        "floor": calibration.floor,
        "error": {rank: one.error for rank, one in calibration.ranks.items()},
        "unknown_auroc": None if calibration.unknown is None else calibration.unknown.auroc,
    }


def _changes_since(stats: CatalogueStats, calibration: Calibration) -> int:
    """Changes since the calibration; where the store counts none, by how many items there are more or fewer."""
    if stats.store is not None:
        return abs(stats.items - calibration.num_items)
    return stats.last_change - calibration.change


def _calibration_text(path: Path, stats: CatalogueStats, calibration: Calibration | None) -> str:
    if calibration is None:
        return f"no: a confidence is a share of the vote; lodisc index calibrate {path_word(path)}"
    errors = ", ".join(f"{rank} {one.error:.3f}" for rank, one in calibration.ranks.items())
    changes = _changes_since(stats, calibration)
    again = f"; do it again: lodisc index calibrate {path_word(path)}"
    if changes < 0:
        return f"for another catalogue than this, whose items are newer{again}"
    advice = again if changes > STALE_SHARE * max(1, calibration.num_items) else ""
    return f"on {calibration.num_items} items, error {errors}; {changes} changes since{advice}"


def _stats_text(path: Path, stats: CatalogueStats, calibration: Calibration | None) -> str:
    labels = ", ".join(f"{count} {rank}" for rank, count in stats.labels.items()) or "none"
    snapshot = "none: every search scans the database; `lodisc index compact` builds one"
    if stats.snapshot_kind is not None:
        snapshot = (
            f"{stats.snapshot_items} items ({stats.snapshot_kind}, recall@10 {stats.snapshot_recall:.3f}, "
            f"{stats.snapshot_latency_ms:.2f} ms a search, {(stats.snapshot_memory_bytes or 0) / 1e6:.1f} MB), "
            f"{stats.snapshot_removed} removed since"
        )
    trials = [
        f"  tried     {trial['kind']}: recall@10 {trial['recall']:.3f}, {trial['latency_ms']:.2f} ms, "
        f"{trial['memory_bytes'] / 1e6:.0f} MB: {trial['verdict']}"
        for trial in stats.snapshot_trials
    ]
    how = [f"store       {stats.store}, which keeps a search index of its own"]
    if stats.store is None:
        how = [
            f"snapshot    {snapshot}",
            *trials,
            f"since then  {stats.tail_items} items, scanned exactly",
            f"on disk     {stats.disk_bytes / 1e6:.1f} MB",
        ]
    return "\n".join(
        [
            f"catalogue   {path}",
            f"items       {stats.items}",
            f"labels      {labels}; {stats.unlabelled} items have none",
            f"encoder     {stats.encoder_name} ({stats.encoder_id}), {stats.dim} dimensions",
            f"bundle      {stats.bundle_path}",
            f"calibrated  {_calibration_text(path, stats, calibration)}",
            *how,
        ]
    )
