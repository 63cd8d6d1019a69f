"""`lodisc index export` and `import`: a catalogue as one Parquet file, and back."""

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from encoder.errors import ConfigError, MissingExtraError, SourceError
from index.open_catalogue import open_catalogue

EXPORT_HELP = """\
Write the catalogue as one Parquet file, for pandas, DuckDB and the like, or to take it to another machine. Columns: id,
labels (a map of rank to name), metadata (JSON), source, content_hash, embedding (float32; nothing is lost), thumbnail
(WebP). A file that is there is replaced once the new one is whole.

examples:
  lodisc index export catalogue/ --to catalogue.parquet
  lodisc index export catalogue/ --to vanessa.parquet --filter 'genus == "Vanessa"'
"""

IMPORT_HELP = """\
Take the items of a file of `lodisc index export` into a catalogue: a new one, for which no bundle is needed, or one of
the same encoder. Items that are there already are left alone, those whose id is there with other content are replaced.
Rows that are not as they must be are left out and named, and the exit code is 1.

examples:
  lodisc index import catalogue/ --from catalogue.parquet
  lodisc index import catalogue/ --from vanessa.parquet --json
"""


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `export`."""
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="the Parquet file to write")
    parser.add_argument("--filter", metavar="EXPR", help="which items; `lodisc search --help` says what it may hold")
    parser.add_argument("--json", action="store_true", help="say what was written as JSON, and show no progress")


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `import`."""
    parser.add_argument("--from", dest="table", type=Path, required=True, metavar="FILE", help="the Parquet file")
    parser.add_argument("--json", action="store_true", help="say what was done as JSON, and show no progress")


def run_export(args: argparse.Namespace) -> int:
    """Write the file."""
    if not args.to.absolute().parent.is_dir():
        raise ConfigError(f"--to is {args.to}, but there is no folder {args.to.parent}; make it first")
    if args.to.is_dir():
        raise ConfigError(f"--to is {args.to}, which is a folder; name a file in it")
    export_table = _needs_pyarrow("export_table").export_table
    with open_catalogue(args.catalogue) as catalogue:
        written = export_table(catalogue, args.to, filter=args.filter, quiet=args.json)
    size = args.to.stat().st_size
    if args.json:
        print(json.dumps({"items": written, "file": str(args.to), "bytes": size}))
    else:
        print(f"{args.to}: {written} items, {size / 1e6:.1f} MB")
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Take in the rows."""
    if not args.table.is_file():
        raise SourceError(f"--from is {args.table}, which is no file; `lodisc index export` writes one")
    report = _needs_pyarrow("import_table").import_table(args.catalogue, args.table, quiet=args.json)
    if args.json:
        print(json.dumps(asdict(report), indent=2))
        return int(report.num_refused > 0)
    print(
        f"{args.catalogue}: {report.added} added, {report.replaced} replaced, {report.unchanged} unchanged, "
        f"{report.num_refused} refused"
    )
    for number, reason in report.refused:
        sys.stderr.write(f"row {number}: {reason}\n")
    if report.num_refused > len(report.refused):
        sys.stderr.write(f"and {report.num_refused - len(report.refused)} more rows\n")
    return int(report.num_refused > 0)


def _needs_pyarrow(module: str) -> Any:
    try:
        return importlib.import_module(f"index.{module}")
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise MissingExtraError("Parquet files need pyarrow: pip install -e '.[parquet]'") from error
