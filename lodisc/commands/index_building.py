"""`lodisc index build` and `add`: a source of pictures into a catalogue, once or for as long as a folder grows."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Event
from types import FrameType

from encoder.bundle import Bundle
from encoder.errors import CatalogueNotFoundError, ConfigError
from encoder.picture_files import walk_pictures
from encoder.shell_words import path_word
from index.build import BATCH_SIZE, BuildReport, build, open_for_build
from index.division import bulk_encoder
from index.estimate import Estimate, estimate
from index.open_catalogue import open_catalogue
from index.ranks import read_ranks
from index.rejected import REJECTED_NAME
from index.sources.picture import Source
from index.sources.prefixed import PrefixedSource
from index.sources.reading import read_source
from index.store_file import read_store
from index.watch import FolderWatch, watch
from lodisc.commands.index_engine import add_engine_arguments, check_engine, engine
from lodisc.commands.index_wishing import add_index_arguments, check_wishes, wish
from lodisc.commands.whole_numbers import positive

BUILD_HELP = """\
Make the catalogue of a source, or bring it up to date.

It may be run again at any time: it continues after an interruption, takes in what is new or changed, and leaves alone
what is already there. Pictures that cannot be read are listed in CATALOGUE/rejected.csv and stop nothing.

SOURCE is a folder (sub-folders are labels, the path is the id), a .csv or .parquet with a column path and, if you like,
id, label and others, a .parquet with the files in a column image, or webdataset .tar shards. Each may be a URL.

examples:
  lodisc index build catalogue/ --images photos/ --bundle bundle/ --ranks species,genus
  lodisc index build catalogue/ --images photos.csv --bundle bundle/ --prune
  lodisc index build catalogue/ --images 'shards/train-{000..127}.tar' --bundle bundle/
  lodisc index build catalogue/ --images 's3://bucket/data/*.parquet' --bundle bundle/
  lodisc index build catalogue/ --images photos/ --bundle bundle/ --dry-run
  lodisc index build catalogue/ --images photos/ --bundle bundle/ --prune --watch
  lodisc index build catalogue/ --images photos/ --bundle another-bundle/ --fresh
  lodisc index build catalogue/ --images 's3://bucket/photos/' --bundle bundle/ --engine ray --ray-address auto
  lodisc index build catalogue/ --images photos/ --bundle bundle/ --store milvus://db.example:19530/photos

With --store the folder CATALOGUE keeps rejected.csv and store.json, which names the store, so every later command finds
it; put a copy of the folder on each machine that asks. The token of the server goes into LODISC_MILVUS_TOKEN.
"""

ADD_HELP = """\
Add the pictures of another source; nothing that is there already is removed.

Ids are paths relative to a source, so two sources may have the same ones. An item from another place is kept as it is:
another picture with its id, or the same picture with other labels or metadata, is listed in CATALOGUE/rejected.csv.
--prefix gives all ids of the source another beginning, so that both stay; give the same one whenever that source is
added again. `lodisc index build --prune` and `lodisc index verify --source` know nothing of it: the first deletes what
its own source does not have, the second looks for pictures by ids without it.

What has changed at its own place is brought up to date. A source that has moved may be added where it is now: its items
get their new place, once they are gone from the old one. Pictures that have changed on the way are listed as well;
`lodisc index build` with the new place takes them in, if the source was added without --prefix.

examples:
  lodisc index add catalogue/ --images more-photos/
  lodisc index add catalogue/ --images day2/ --prefix day2/
  lodisc index add catalogue/ --images photos.csv --bundle where-it-is-now/
"""


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `build`."""
    _add_source_arguments(parser)
    parser.add_argument("--bundle", type=Path, required=True, metavar="BUNDLE", help="the encoder")
    parser.add_argument(
        "--store", metavar="ADDRESS",
        help="keep the items in Milvus: milvus://HOST:PORT/NAME, milvus+tls://HOST:PORT/NAME, or milvus-lite:FOLDER.db "
        "(default: in the folder CATALOGUE, or where it has them already)",
    )  # fmt: skip
    parser.add_argument("--fresh", action="store_true", help="throw the catalogue away and start anew")
    parser.add_argument(
        "--prune", action="store_true", help="delete items that the source does not have, also those of other sources"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only say what would be done, how long it would take, how large it would be",
    )
    parser.add_argument(
        "--watch", action="store_true", help="stay, and take in what comes into a folder or changes there, until Ctrl-C"
    )
    parser.add_argument(
        "--watch-interval", type=_seconds, default=2.0, metavar="S", help="seconds between two looks (%(default)s)"
    )


def add_add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `add`."""
    _add_source_arguments(parser)
    parser.add_argument("--bundle", type=Path, metavar="BUNDLE", help="where the encoder is, if it has moved")
    parser.add_argument(
        "--prefix", default="", metavar="TEXT", help="put before every id of the source, as in day2/ (default: nothing)"
    )


def _add_source_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images", required=True, metavar="SOURCE",
        help="a folder, or .csv, .parquet or .tar files; a path, a URL, or a pattern such as 'shards/{00..99}.tar'",
    )  # fmt: skip
    parser.add_argument(
        "--ranks", type=read_ranks, default=(), metavar="A,B",
        help="names of the label ranks, finest first: of the sub-folders from the inside out, or of columns "
        "(default: those of the catalogue, if it has any)",
    )  # fmt: skip
    parser.add_argument(
        "--variant", metavar="NAME", help="of the bundle, such as int8 (default: the catalogue's; fp32 for a new one)"
    )
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="that read and decode (default: cores; at least 16 for URLs)"
    )
    parser.add_argument("--encoder-threads", type=positive, metavar="N", help="of the encoder (default: cores)")
    parser.add_argument(
        "--batch-size", type=positive, default=BATCH_SIZE, metavar="N", help="pictures an encoder call (%(default)s)"
    )
    add_engine_arguments(parser)
    add_index_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run_build(args: argparse.Namespace) -> int:
    """Make a catalogue or bring it up to date; 1 if a part of the source could not be read."""
    ranks = args.ranks or (() if args.fresh else _ranks_of(args.catalogue))
    if args.watch:
        return _watch(args, ranks)
    source = read_source(args.images, ranks)
    bundle = Bundle.open(args.bundle)
    if args.dry_run:
        encoder, calls = bulk_encoder(bundle, args.encoder_threads, args.variant or "fp32")
        told = estimate(
            args.catalogue, bundle, encoder, source, threads=args.threads, encoder_calls=calls, fresh=args.fresh
        )
        print(json.dumps(asdict(told), indent=2) if args.json else _estimate_text(args, told))
        return 0
    _check_wishes(args, bundle)
    with (
        engine(args) as fill,
        open_for_build(
            args.catalogue, bundle, variant=args.variant, ranks=ranks, fresh=args.fresh, store=args.store
        ) as catalogue,
    ):
        wish(args, catalogue)
        report = fill(catalogue, bundle, source, args.prune)
    return _print_report(args, report)


def run_add(args: argparse.Namespace) -> int:
    """Add the pictures of another source."""
    with open_catalogue(args.catalogue) as catalogue:
        if not args.prefix.isprintable():
            raise ConfigError(f"--prefix is {args.prefix!a}, which cannot be shown as it is; give plain characters")
        source: Source = PrefixedSource(read_source(args.images, args.ranks or catalogue.ranks), args.prefix)
        bundle = catalogue.find_bundle(args.bundle)
        with engine(args) as fill:
            wish(args, catalogue)
            report = fill(catalogue, bundle, source, None)
    return _print_report(args, report)


def _check_wishes(args: argparse.Namespace, bundle: Bundle) -> None:
    has_store = args.store is not None or read_store(args.catalogue) is not None
    check_wishes(args, bundle.manifest.embedding_dim, has_store=has_store)


def _watch(args: argparse.Namespace, ranks: Sequence[str]) -> int:
    """Bring the catalogue up to date, then keep it so."""
    folder = Path(args.images)
    if args.dry_run:
        raise ConfigError("--watch and --dry-run exclude each other")
    if args.engine != "local":
        raise ConfigError(f"--watch and --engine {args.engine} exclude each other")
    if not folder.is_dir():
        raise ConfigError(f"--watch needs a folder of this machine, {args.images} is none")
    check_engine(args)
    bundle = Bundle.open(args.bundle)
    _check_wishes(args, bundle)
    with (
        open_for_build(
            args.catalogue, bundle, variant=args.variant, ranks=ranks, fresh=args.fresh, store=args.store
        ) as catalogue,
        _until_told() as stop,
    ):
        wish(args, catalogue)
        variant = catalogue.choose_variant(bundle, args.variant)
        encoder, calls = bulk_encoder(bundle, args.encoder_threads, variant)
        watched = FolderWatch(folder, tuple(ranks))
        watched.look()
        if next(walk_pictures(folder), None) is not None:
            report = build(
                catalogue, encoder, read_source(args.images, ranks), threads=args.threads, encoder_calls=calls,
                batch_size=args.batch_size, prune=args.prune, stop=stop, quiet=args.quiet or args.json,
            )  # fmt: skip
            watched.adopt()
            _print_round(args, report, report.not_in_source if report.pruned else 0)
        if not args.json:
            print(f"watching {args.images} (Ctrl-C ends)", flush=True)
        watch(
            catalogue, encoder, watched, threads=args.threads, encoder_calls=calls, batch_size=args.batch_size,
            prune=args.prune, interval_s=args.watch_interval, stop=stop,
            on_round=lambda report, deleted: _print_round(args, report, deleted),
        )  # fmt: skip
    if not args.json:
        print("stopped; the same command goes on from here")
    return 0


@contextmanager
def _until_told() -> Iterator[Event]:
    """An event that Ctrl-C or SIGTERM sets, except what is ignored. A second Ctrl-C interrupts at once."""
    stop = Event()

    def told(number: int, frame: FrameType | None) -> None:
        if signal.SIGINT in before:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        stop.set()

    before = {
        number: signal.signal(number, told)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_round(args: argparse.Namespace, report: BuildReport, deleted: int) -> None:
    """One line for what a watch has just taken in."""
    if args.json:
        print(json.dumps({**asdict(report), "deleted": deleted}), flush=True)
        return
    counts = {
        "encoded": report.encoded,
        "copies of known content": report.reused,
        "with new labels or place": report.relabelled,
        "unchanged": report.unchanged,
        f"rejected (see {args.catalogue / REJECTED_NAME})": report.num_rejected,
        "deleted": deleted,
    }
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing new"
    print(f"{time.strftime('%H:%M:%S')}  {said}", flush=True)


def _print_report(args: argparse.Namespace, report: BuildReport) -> int:
    if args.json:
        print(json.dumps(asdict(report), indent=2))
        return int(report.incomplete)
    rate = report.total / max(report.seconds, 1e-9)
    print(
        f"{args.catalogue}: {report.total} pictures in {report.seconds:.1f} s ({rate:.0f}/s, "
        f"limited by {report.limited_by}): {report.encoded} encoded, {report.reused} copies of known content, "
        f"{report.relabelled} with new labels or place, {report.unchanged} unchanged, {report.num_rejected} rejected"
    )
    if report.rejected:
        location, reason = report.rejected[0]
        print(f"rejected: see {args.catalogue / REJECTED_NAME} (first: {location}: {reason})")
    if report.num_id_taken:
        print(
            f"{report.num_id_taken} of those have the id of an item from another place, which is kept: "
            "`lodisc index add` takes them in under other ids with --prefix TEXT"
        )
    if report.incomplete:
        sys.stderr.write("a part of the source could not be read; run it again once that is mended\n")
    if report.not_in_source:
        outcome = "deleted" if report.pruned else "kept; --prune deletes them"
        if report.incomplete:
            outcome = "kept, because they may be in the part that could not be read"
        print(f"{report.not_in_source} items of the catalogue are not in the source: {outcome}")
    catalogue = path_word(args.catalogue)
    print(f"next: lodisc search {catalogue} PICTURE, or lodisc serve {catalogue}")
    return int(report.incomplete)


def _estimate_text(args: argparse.Namespace, told: Estimate) -> str:
    lines = [
        f"source     {told.total} pictures: {told.new} new, {told.known} with ids that the catalogue has already "
        "(encoded again only if their content has changed)",
        f"trial      {told.sampled} pictures at {told.pictures_per_s:.1f}/s, limited by {told.limited_by}; "
        f"{told.unusable} cannot be used",
        f"estimate   {_duration(told.seconds)} and {told.disk_bytes / 1e6:.1f} MB for the new ones",
    ]
    if told.not_in_source:
        lines.append(
            f"{told.not_in_source} items of the catalogue are not in the source: "
            f"{'would be deleted' if args.prune else 'would be kept'}"
        )
    return "\n".join([*lines, f"{args.catalogue} was left as it is; without --dry-run this is done"])


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _ranks_of(path: Path) -> Sequence[str]:
    """The ranks that a catalogue was built with; none where there is no catalogue yet."""
    try:
        with open_catalogue(path) as catalogue:
            return catalogue.ranks
    except CatalogueNotFoundError:
        return ()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.01 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.01 to a day")
    return seconds
