"""`lodisc index`: build and look after a catalogue."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from encoder.bundle import Bundle
from encoder.errors import CatalogueNotFoundError, ConfigError
from encoder.image_encoder import ImageEncoder
from index.ann_wishes import DEFAULT_RECALL, IndexWishes
from index.build import BATCH_SIZE, BuildReport, build, open_for_build, writing_alone
from index.catalogue import Catalogue
from index.items import CatalogueStats
from index.sources import read_source

HELP = """\
Build and look after a catalogue.

examples:
  lodisc index build catalogue/ --images photos/ --bundle bundle/ --ranks species,genus
  lodisc index build catalogue/ --images photos.csv --bundle bundle/
  lodisc index add catalogue/ --images more-photos/
  lodisc index remove catalogue/ Vanessa/atalanta/0012.jpg
  lodisc index stats catalogue/

Each action explains itself: lodisc index ACTION --help
"""

BUILD_HELP = """\
Make the catalogue of a source, or bring it up to date.

It may be run again at any time: it continues after an interruption, takes in what is new or changed, and leaves alone
what is already there. Pictures that cannot be read are listed in CATALOGUE/rejected.csv and stop nothing.

examples:
  lodisc index build catalogue/ --images photos/ --bundle bundle/ --ranks species,genus
  lodisc index build catalogue/ --images photos.csv --bundle bundle/ --prune
  lodisc index build catalogue/ --images photos/ --bundle another-bundle/ --fresh
"""

ADD_HELP = """\
Add the pictures of another source; nothing that is there already is removed.

examples:
  lodisc index add catalogue/ --images more-photos/
  lodisc index add catalogue/ --images photos.csv --bundle where-it-is-now/
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
Build the search snapshot anew from the database. `build` and `add` do it by themselves where it pays, and a server has
it done in the background; after many single writes it makes searches faster again.

A small catalogue is searched exactly. For a large one several index types are tried on a sample, and the fastest that
meets --recall and --memory is built; `lodisc index stats` shows what it measured. What you ask for is remembered.

examples:
  lodisc index compact catalogue/
  lodisc index compact catalogue/ --recall 0.995 --memory 4GB
  lodisc index compact catalogue/ --exact
  lodisc index compact catalogue/ --faiss IVF4096,SQ8
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

    build_parser = action("build", "make the catalogue of a source, or bring it up to date", BUILD_HELP, _build)
    _add_source_arguments(build_parser)
    build_parser.add_argument("--bundle", type=Path, required=True, metavar="BUNDLE", help="the encoder")
    build_parser.add_argument("--fresh", action="store_true", help="throw the catalogue away and start anew")
    build_parser.add_argument("--prune", action="store_true", help="delete items that the source no longer has")

    add_parser = action("add", "add the pictures of another source", ADD_HELP, _add)
    _add_source_arguments(add_parser)
    add_parser.add_argument("--bundle", type=Path, metavar="BUNDLE", help="where the encoder is, if it has moved")

    remove_parser = action("remove", "remove items by id", REMOVE_HELP, _remove)
    remove_parser.add_argument("ids", nargs="+", metavar="ID", help="as `lodisc search` prints it")

    stats_parser = action("stats", "what is in the catalogue", STATS_HELP, _stats)
    stats_parser.add_argument("--json", action="store_true", help="as JSON")

    compact_parser = action("compact", "build the search snapshot anew", COMPACT_HELP, _compact)
    _add_index_arguments(compact_parser)


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    code: int = args.action_handler(args)
    return code


def _add_source_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images", type=Path, required=True, metavar="SOURCE",
        help="a folder (sub-folder = label), or a CSV with a column path and, if you like, id, label and others",
    )  # fmt: skip
    parser.add_argument(
        "--ranks", type=_ranks, default=(), metavar="A,B",
        help="names of the label ranks, finest first: of the sub-folders from the inside out, or of CSV columns "
        "(default: those of the catalogue, if it has any)",
    )  # fmt: skip
    parser.add_argument("--threads", type=_positive, metavar="N", help="that read and decode (default: cores)")
    parser.add_argument(
        "--batch-size",
        type=_positive,
        default=BATCH_SIZE,
        metavar="N",
        help="pictures an encoder call (%(default)s)",
    )
    _add_index_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _add_index_arguments(parser: argparse.ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--recall", type=float, metavar="R",
        help="least recall@10 against exact search that the index is chosen for "
        f"(default: as last time, or {DEFAULT_RECALL:g})",
    )  # fmt: skip
    how.add_argument("--exact", action="store_true", help="search exactly, however many items there are")
    how.add_argument("--faiss", metavar="FACTORY", help="build this FAISS index, for example IVF4096,SQ8")
    parser.add_argument(
        "--memory", type=_size, metavar="SIZE",
        help="most that the index may take, for example 800MB or 4GB (default: 0.6 of the raw vectors)",
    )  # fmt: skip


def _wish(args: argparse.Namespace, catalogue: Catalogue) -> None:
    """Keep what the arguments ask of the index; what they leave open stays as it was."""
    old = catalogue.wishes()
    new = old
    if args.recall is not None or args.exact or args.faiss:
        recall = args.recall if args.recall is not None else old.recall
        new = IndexWishes(recall=recall, memory=old.memory, exact=args.exact, faiss=args.faiss)
    if args.memory is not None:
        new = replace(new, memory=args.memory)
    if new != old:
        catalogue.wish(new)


def _build(args: argparse.Namespace) -> int:
    ranks = args.ranks or (() if args.fresh else _ranks_of(args.catalogue))
    pictures = read_source(args.images, ranks)
    bundle = Bundle.open(args.bundle)
    with open_for_build(args.catalogue, bundle, ranks=ranks, fresh=args.fresh) as catalogue:
        _wish(args, catalogue)
        report = build(
            catalogue, ImageEncoder(bundle), pictures,
            threads=args.threads, batch_size=args.batch_size, prune=args.prune, quiet=args.quiet or args.json,
        )  # fmt: skip
    return _print_report(args, report)


def _add(args: argparse.Namespace) -> int:
    with Catalogue.open(args.catalogue) as catalogue:
        pictures = read_source(args.images, args.ranks or catalogue.ranks)
        _wish(args, catalogue)
        encoder = ImageEncoder(catalogue.find_bundle(args.bundle))
        report = build(
            catalogue, encoder, pictures,
            threads=args.threads, batch_size=args.batch_size, prune=None, quiet=args.quiet or args.json,
        )  # fmt: skip
    return _print_report(args, report)


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
    with Catalogue.open(args.catalogue) as catalogue:
        _wish(args, catalogue)
        info = catalogue.compact()
    print(
        f"snapshot {info.seq}: {info.count} items, {info.kind}, recall@10 {info.recall:.3f} against exact search, "
        f"{info.latency_ms:.2f} ms a search"
    )
    return 0


def _ranks_of(path: Path) -> Sequence[str]:
    """The ranks that a catalogue was built with; none where there is no catalogue yet."""
    try:
        with Catalogue.open(path) as catalogue:
            return catalogue.ranks
    except CatalogueNotFoundError:
        return ()


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
    return "\n".join(
        [
            f"catalogue   {path}",
            f"items       {stats.items}",
            f"labels      {labels}; {stats.unlabelled} items have none",
            f"encoder     {stats.encoder_name} ({stats.encoder_id}), {stats.dim} dimensions",
            f"bundle      {stats.bundle_path}",
            f"snapshot    {snapshot}",
            *trials,
            f"since then  {stats.tail_items} items, scanned exactly",
            f"on disk     {stats.disk_bytes / 1e6:.1f} MB",
        ]
    )


def _print_report(args: argparse.Namespace, report: BuildReport) -> int:
    if args.json:
        print(json.dumps(asdict(report), indent=2))
        return 0
    rate = report.total / max(report.seconds, 1e-9)
    print(
        f"{args.catalogue}: {report.total} pictures in {report.seconds:.1f} s ({rate:.0f}/s, "
        f"limited by {report.limited_by}): {report.encoded} encoded, {report.reused} copies of known content, "
        f"{report.relabelled} with new labels, {report.unchanged} unchanged, {len(report.rejected)} rejected"
    )
    if report.rejected:
        print(
            f"rejected: see {args.catalogue / 'rejected.csv'} (first: {report.rejected[0][0]}: {report.rejected[0][1]})"
        )
    if report.not_in_source:
        outcome = "deleted" if report.pruned else "kept; --prune deletes them"
        print(f"{report.not_in_source} items of the catalogue are not in the source: {outcome}")
    print(f"next: lodisc search {args.catalogue} PICTURE, or lodisc serve {args.catalogue}")
    return 0


def _ranks(text: str) -> Sequence[str]:
    ranks = tuple(name.strip() for name in text.split(","))
    if not all(ranks) or len(set(ranks)) < len(ranks):
        raise ConfigError(f"--ranks is {text!r}, expected different names separated by commas, finest first")
    return ranks


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 800MB or 4GB")
    return int(float(found[1]) * 1000 ** " kmgt".index(found[2].lower() or " "))
