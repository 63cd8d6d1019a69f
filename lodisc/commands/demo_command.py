"""`lodisc demo`: from nothing to a server that answers, with drawn insects or with a person's own pictures."""

import argparse
import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import lodisc
from encoder.bundle import Bundle
from encoder.errors import BundleNotFoundError, CatalogueNotFoundError, ConfigError
from encoder.picture_files import list_pictures
from encoder.shell_words import path_word
from index.build import build, open_for_build
from index.division import bulk_encoder
from index.open_catalogue import open_catalogue
from index.sources.reading import read_source
from lodisc.commands.serve_command import checked_address, free_port, serve
from lodisc.insects.rates import Rates, measure
from lodisc.insects.specimens import COMPLETE_NAME, write_specimens

HELP = """\
Draw thirty species of winged insects, index them, measure how well held-out specimens are named, and serve the
catalogue. With --images, index your own folder instead (sub-folder = label).

examples:
  lodisc demo
  lodisc demo --port 8080
  lodisc demo --images photos/
"""

BUNDLES_DIR = Path(lodisc.__file__).parent.parent / "bundles"
RANKS = ("species", "genus")
# What the drawn pictures are; the manifest of an encoder trained on them names the same.
DOMAIN = "the drawn insects of the demo"
UNTRAINED = "demo-untrained"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--images", type=Path, metavar="DIR", help="your own pictures instead of the drawn insects")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo-catalogue"),
        metavar="DIR",
        help="where all of it goes (%(default)s)",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        default=BUNDLES_DIR / "demo",
        metavar="BUNDLE",
        help="the encoder (default: bundles/demo)",
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="IP", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=3000, metavar="N", help="port to listen on (%(default)s)")
    parser.add_argument("--insecure", action="store_true", help="listen beyond this machine although there are no keys")
    parser.add_argument("--no-serve", action="store_true", help="stop before serving")
    parser.add_argument("--draw-only", action="store_true", help="only draw the insects")


def run(args: argparse.Namespace) -> int:
    """Draw, index, measure, serve."""
    if args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"--out is {args.out}, which is a file; expected a folder or a new name")
    if args.draw_only:
        print(f"drawn: {_draw(args.out)}")
        return 0
    if not args.no_serve:
        free_port(checked_address(args.host, args.insecure), args.port)  # said now, not after a minute of work
    if not args.bundle.is_dir():
        raise BundleNotFoundError(f"bundle {args.bundle} is not there; run from a checkout, or name one with --bundle")
    bundle = Bundle.open(args.bundle)
    if args.images is not None:
        catalogue, example = args.out / "catalogue", _own_pictures(args.images, args.out, bundle)
    else:
        catalogue, example = args.out / "catalogue", _insects(args.out, bundle)
    if args.no_serve:
        print(f"ask it: lodisc search {path_word(catalogue)} {path_word(example)}")
        return 0
    return _serve(catalogue, args, example)


def _draw(out: Path) -> Path:
    """The drawn specimens below `out`, drawn now if they are not there yet."""
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("drawing", total=None)
        return write_specimens(
            out / "specimens",
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


def _insects(out: Path, bundle: Bundle) -> Path:
    """Draw, index and measure; a held-out specimen to ask with."""
    specimens = _draw(out)
    _index(out / "catalogue", specimens / "train", bundle, domain=DOMAIN)
    _print_rates(_rates(out, specimens, bundle))
    return list_pictures(specimens / "test")[0]


def _own_pictures(images: Path, out: Path, bundle: Bundle) -> Path:
    """Index a person's folder; one of its pictures to ask with."""
    _index(out / "catalogue", images, bundle, domain=None)
    return list_pictures(images)[0] if images.is_dir() else images


def _index(catalogue_path: Path, images: Path, bundle: Bundle, domain: str | None) -> None:
    ranks = RANKS if domain is not None else ()
    source = read_source(images, ranks)
    # The insects' catalogue can always be made again, so one of an earlier encoder is.
    outdated = domain is not None and _encoder_of(catalogue_path) not in (None, bundle.manifest.id)
    with open_for_build(catalogue_path, bundle, ranks=ranks, domain=domain, fresh=outdated) as catalogue:
        if catalogue.domain != domain:
            raise ConfigError(
                f"{catalogue_path} holds other pictures ({catalogue.domain or 'a folder of your own'}); "
                "choose another --out, or remove it"
            )
        encoder, calls = bulk_encoder(bundle)
        report = build(catalogue, encoder, source, encoder_calls=calls, prune=True)
        count = catalogue.stats().items
    rejected = f", {report.num_rejected} rejected (see {catalogue_path / 'rejected.csv'})" if report.rejected else ""
    print(f"catalogue: {count} pictures in {catalogue_path}, {report.seconds:.1f} s{rejected}")


def _encoder_of(catalogue_path: Path) -> str | None:
    """The id of the encoder that filled the catalogue; None where there is no catalogue."""
    try:
        with open_catalogue(catalogue_path) as catalogue:
            return catalogue.manifest.id
    except CatalogueNotFoundError:
        return None


def _rates(out: Path, specimens: Path, bundle: Bundle) -> dict[str, Rates]:
    """Measured rates, or those of an earlier start with the same encoders and the same drawing."""
    bundles = {bundle.manifest.name: bundle}
    if (BUNDLES_DIR / UNTRAINED).is_dir():
        bundles["the same network, untrained"] = Bundle.open(BUNDLES_DIR / UNTRAINED)
    else:
        print(f"not measured: the same network untrained; there is no {BUNDLES_DIR / UNTRAINED}", file=sys.stderr)
    measured = {
        "encoders": {name: opened.manifest.id for name, opened in bundles.items()},
        "drawing": json.loads((specimens / COMPLETE_NAME).read_text(encoding="utf-8")),
    }
    path = out / "rates.json"
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known.get("measured") == measured:
            return {name: Rates(**rates) for name, rates in known["rates"].items()}
    rates = measure(specimens, {name: opened.path for name, opened in bundles.items()})
    document = {"measured": measured, "rates": {name: asdict(value) for name, value in rates.items()}}
    # Aside, then renamed: a start that is interrupted here leaves no half of a file to the next.
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)
    return rates


def _print_rates(rates: dict[str, Rates]) -> None:
    table = Table(title="held-out specimens whose nearest picture is of", title_justify="left")
    table.add_column("encoder")
    for column in ("their species", "their genus", "their species, within the genus"):
        table.add_column(column, justify="right")
    for name, rate in rates.items():
        table.add_row(name, f"{rate.species:.1%}", f"{rate.genus:.1%}", f"{rate.within_genus:.1%}")
    Console().print(table)


def _serve(catalogue: Path, args: argparse.Namespace, example: Path) -> int:
    """Serve, and say how to ask once it answers."""

    def announce(url: str) -> None:
        # curl takes a comma, a semicolon or a quote in a file's name for syntax unless the name is quoted.
        picture = f'"{example}"' if set(str(example)) & set(",;") else str(example)
        curl = f"curl -F {shlex.quote(f'images=@{picture}')} {url}/search"
        print(f"\nready: {url} (Ctrl-C stops)\ntry:   {curl}", flush=True)

    return serve(
        catalogue, bundle=args.bundle, host=args.host, port=args.port, insecure=args.insecure, on_ready=announce
    )
