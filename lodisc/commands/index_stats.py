"""`lodisc index stats`: what is in a catalogue."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from index.answers.local_stats import local_document, local_lines
from index.items import CatalogueStats
from index.open_catalogue import open_catalogue

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
        local, lines = local_document(catalogue), local_lines(catalogue)
    if args.json:
        print(json.dumps(asdict(stats) | {"local": local}, indent=2))
    else:
        print("\n".join([_stats_text(args.catalogue, stats), *lines]))
    return 0


def _stats_text(path: Path, stats: CatalogueStats) -> str:
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
            *how,
        ]
    )
