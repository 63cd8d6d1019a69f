"""`lodisc index`: build and look after a catalogue."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from index.build import writing_alone
from index.catalogue import Catalogue
from index.items import CatalogueStats
from lodisc.commands.index_building import (
    ADD_HELP,
    BUILD_HELP,
    add_add_arguments,
    add_build_arguments,
    run_add,
    run_build,
)
from lodisc.commands.index_listing import LIST_HELP, add_list_arguments, run_list

HELP = """\
Build and look after a catalogue.

examples:
  lodisc index build catalogue/ --images photos/ --bundle bundle/ --ranks species,genus
  lodisc index build catalogue/ --images photos.csv --bundle bundle/
  lodisc index add catalogue/ --images more-photos/
  lodisc index remove catalogue/ Vanessa/atalanta/0012.jpg
  lodisc index list catalogue/ --filter 'genus == "Vanessa" and year >= 2010'
  lodisc index stats catalogue/

Each action explains itself: lodisc index ACTION --help
"""

REMOVE_HELP = """\
Remove items by their ids, as `lodisc search` prints them. The picture files are left alone.

examples:
  lodisc index remove catalogue/ Vanessa/atalanta/0012.jpg Vanessa/atalanta/0013.jpg
"""

STATS_HELP = """\
Say what is in the catalogue.

examples:
  lodisc index stats catalogue/
  lodisc index stats catalogue/ --json
"""

COMPACT_HELP = """\
Build the search snapshot anew from the database. `build` and `add` do it by themselves; after many single writes it
makes searches faster again.

examples:
  lodisc index compact catalogue/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(
        name: str, line: str, description: str, handler: Callable[[argparse.Namespace], int]
    ) -> argparse.ArgumentParser:
        """A parser of one action; `line` stands in the list of actions."""
        added = actions.add_parser(
            name, help=line, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        added.add_argument("catalogue", type=Path, metavar="CATALOGUE", help="folder of the catalogue")
        added.set_defaults(action_handler=handler)
        return added

    add_build_arguments(
        action("build", "make the catalogue of a source, or bring it up to date", BUILD_HELP, run_build)
    )
    add_add_arguments(action("add", "add the pictures of another source", ADD_HELP, run_add))

    remove_parser = action("remove", "remove items by id", REMOVE_HELP, _remove)
    remove_parser.add_argument("ids", nargs="+", metavar="ID", help="as `lodisc search` prints it")

    add_list_arguments(action("list", "the items, or those that a filter lets through", LIST_HELP, run_list))

    stats_parser = action("stats", "what is in the catalogue", STATS_HELP, _stats)
    stats_parser.add_argument("--json", action="store_true", help="as JSON")

    action("compact", "build the search snapshot anew", COMPACT_HELP, _compact)


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    code: int = args.action_handler(args)
    return code


def _remove(args: argparse.Namespace) -> int:
    with Catalogue.open(args.catalogue) as catalogue, writing_alone(args.catalogue):
        missing = [item_id for item_id in args.ids if catalogue.get(item_id) is None]
        removed = catalogue.delete(args.ids)
    print(f"removed {removed} of {len(args.ids)} items")
    for item_id in missing:
        sys.stderr.write(f"no item {item_id!a} in {args.catalogue}\n")
    return 1 if missing else 0


def _stats(args: argparse.Namespace) -> int:
    with Catalogue.open(args.catalogue) as catalogue:
        stats = catalogue.stats()
    print(json.dumps(asdict(stats), indent=2) if args.json else _stats_text(args.catalogue, stats))
    return 0


def _compact(args: argparse.Namespace) -> int:
    with Catalogue.open(args.catalogue) as catalogue, writing_alone(args.catalogue):
        info = catalogue.compact()
    print(f"snapshot {info.seq}: {info.count} items, {info.kind}, recall@10 {info.recall:.3f} against exact search")
    return 0


def _stats_text(path: Path, stats: CatalogueStats) -> str:
    labels = ", ".join(f"{count} {rank}" for rank, count in stats.labels.items()) or "none"
    snapshot = (
        f"{stats.snapshot_items} items ({stats.snapshot_kind}, recall@10 {stats.snapshot_recall:.3f})"
        if stats.snapshot_kind
        else "none: every search scans the database; `lodisc index compact` builds one"
    )
    return "\n".join(
        [
            f"catalogue   {path}",
            f"items       {stats.items}",
            f"labels      {labels}; {stats.unlabelled} items have none",
            f"encoder     {stats.encoder_name} ({stats.encoder_id}), {stats.dim} dimensions",
            f"bundle      {stats.bundle_path}",
            f"snapshot    {snapshot}",
            f"since then  {stats.tail_items} items, scanned exactly",
            f"on disk     {stats.disk_bytes / 1e6:.1f} MB",
        ]
    )
