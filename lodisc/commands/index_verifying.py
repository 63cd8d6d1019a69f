"""`lodisc index verify`: hold a catalogue against itself, its snapshot and its pictures, and mend what can be."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from encoder.errors import ConfigError
from index.progress import PLAIN_LINE_EVERY_S
from index.sources.reading import read_source
from index.store_file import require_no_store
from index.verification import verify
from index.verification_findings import Check, Report
from index.verification_repair import Means
from index.verification_truth import Tell

VERIFY_HELP = """\
See whether a catalogue is whole: its database, the search snapshot that is derived of it, and whether the picture of
every item is still there and still the one that was indexed. It may run beside a server and beside writers.

--repair mends what can be derived: a damaged or missing snapshot is built anew, what belongs to no item is deleted,
missing thumbnails and embeddings are made of the pictures, if those are still what was indexed. No item is deleted.
For everything else the command that mends it is named.

Pictures are looked for where they were indexed from, or in --source. Those that cannot be reached are said to be so.

exit codes: 0 everything is whole, or was repaired; 1 something is left; 2 the arguments are wrong.

examples:
  lodisc index verify catalogue/
  lodisc index verify catalogue/ --repair
  lodisc index verify catalogue/ --repair --source moved/photos/ --bundle moved/bundle/
  lodisc index verify catalogue/ --no-pictures --json
"""
# What is counted of each check.
UNITS = {"database": "pages", "orphans": "parts", "changes": "changes", "snapshot": "vectors", "leftovers": ""}


def add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--repair", action="store_true", help="mend what can be derived")
    parser.add_argument(
        "--source", metavar="SOURCE", help="where the pictures are now, if they have moved: as `build --images`"
    )
    parser.add_argument("--bundle", type=Path, metavar="BUNDLE", help="where the encoder is now, if it has moved")
    parser.add_argument("--no-pictures", action="store_true", help="leave the picture files alone, which takes longest")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run_verify(args: argparse.Namespace) -> int:
    """Look, repair if that was asked for, and print what was found; 1 if something is left."""
    if args.no_pictures and args.source is not None:
        raise ConfigError("--no-pictures and --source exclude each other")
    require_no_store(args.catalogue)
    if args.bundle is not None and (args.no_pictures or not args.repair):
        raise ConfigError(
            "--bundle is for a --repair that makes embeddings of pictures; leave it out, or --no-pictures"
        )
    means = None
    if not args.no_pictures:
        source = read_source(args.source) if args.source is not None else None
        means = Means(source=source, bundle=args.bundle, threads=os.cpu_count() or 1)
    with _telling(quiet=args.quiet or args.json) as tell:
        report = verify(args.catalogue, means=means, mend=args.repair, tell=tell)
    if args.json:
        checks = [check.document() for check in report.checks]
        print(json.dumps({"catalogue": str(args.catalogue), "clean": report.clean, "checks": checks}, indent=2))
    else:
        print(_text(args.catalogue, report))
    return 0 if report.clean else 1


def _text(path: Path, report: Report) -> str:
    name_width = max(len(check.name) for check in report.checks)
    looked_at_width = max(len(_looked_at(check)) for check in report.checks)
    lines = []
    for check in report.checks:
        lines.append(f"{check.name:{name_width}}  {_looked_at(check):>{looked_at_width}}  {_outcome(check)}")
        lines += [f"    {example}" for example in check.examples]
        if len(check.examples) < check.found:
            lines.append(f"    and {check.found - len(check.examples)} more")
        if check.note:
            lines.append(f"    {check.note}")
        if check.remaining and check.remedy:
            lines.append(f"    to mend: {check.remedy}")
    left = [check.name for check in report.checks if check.remaining and check.kind != "leftover"]
    lines.append(f"{path}: {'whole' if not left else 'not whole: ' + ', '.join(left)}")
    return "\n".join(lines)


def _looked_at(check: Check) -> str:
    unit = UNITS.get(check.name, "items")
    return f"{check.looked_at} {unit}" if unit else ""


def _outcome(check: Check) -> str:
    if not check.found:
        return f"ok: {check.promise}"
    repaired = f", repaired {check.repaired}" if check.repaired else ""
    harmless = "; harmless" if check.kind == "leftover" and check.remaining else ""
    return f"found {check.found}{repaired}{harmless}; expected: {check.promise}"


@contextmanager
def _telling(*, quiet: bool) -> Iterator[Tell]:
    """A bar on a terminal, a line every few seconds elsewhere, nothing when quiet."""
    if quiet:
        yield lambda part, done, total: None
    elif sys.stderr.isatty():
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("left"),
            TimeRemainingColumn(), console=Console(stderr=True), transient=True,
        ) as bar:  # fmt: skip
            tasks = {}

            def show(part: str, done: int, total: int) -> None:
                if part not in tasks:
                    tasks[part] = bar.add_task(part, total=total or None)
                bar.update(tasks[part], completed=done, total=total or None)

            yield show
    else:
        last = [time.monotonic()]

        def write(part: str, done: int, total: int) -> None:
            if time.monotonic() - last[0] > PLAIN_LINE_EVERY_S:
                last[0] = time.monotonic()
                sys.stderr.write(f"{part}: {done}/{total}\n")
                sys.stderr.flush()

        yield write
