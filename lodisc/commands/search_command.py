"""`lodisc search`: what is this, shown on one picture or several, according to a catalogue?"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from encoder.errors import ConfigError, LodiscError, SourceError
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import read_picture
from index.catalogue import MAX_K
from index.filter_parser import parse_filter
from index.open_catalogue import open_catalogue
from index.text import printable
from lodisc.explained_search import check_target, write_explanation
from lodisc.picture_search import search_pictures
from lodisc.server_option import add_server_arguments, open_client

HELP = """\
Find the pictures of a catalogue that are most like a picture, and the name they vote for.

examples:
  lodisc search catalogue/ unknown.jpg
  lodisc search catalogue/ unknown.jpg -k 20 --json
  lodisc search --server https://search.example.org unknown.jpg --key-file key.txt
  lodisc search catalogue/ unknown.jpg --filter 'genus == "Vanessa" and year >= 2010'
  lodisc search catalogue/ unknown.jpg --explain why.html
  lodisc search catalogue/ front.jpg side.jpg leaf.jpg --together

With --server a running server is asked, and CATALOGUE is left out. --explain draws which region of the picture met
which of each of the first matches, and needs `lodisc index local CATALOGUE` once, as --rerank does.

--together takes several pictures as photographs of one thing and gives one answer, as POST /search does: each counts by
how near its neighbours are and how far its vote agrees with the others', so that a blurred one counts little. A picture
that cannot be read is left out, if another can.

a filter compares label ranks, metadata and id (==, !=, <, <=, >, >=, in (...), not in (...)) with texts in quotes,
numbers, true or false; exists(NAME), startswith(NAME, "text") and contains(NAME, "text") ask for a value and for a part
of it; and, or, not and brackets join them. An unusual name stands between brackets: [catalogue number].
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("catalogue", type=Path, nargs="?", metavar="CATALOGUE", help="folder of the catalogue")
    parser.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE", help="the picture to ask about")
    parser.add_argument(
        "--together", action="store_true", help="the pictures are photographs of one thing, to be answered as one"
    )
    parser.add_argument("-k", type=int, default=10, metavar="N", help=f"neighbours, 1 to {MAX_K} (%(default)s)")
    parser.add_argument("--filter", metavar="EXPR", help="among which items to search, as in the example above")
    parser.add_argument(
        "--rerank", action=argparse.BooleanOptionalAction, default=None,
        help="put the first matches in order by their pivotal patches too, or do not (default: where it was measured "
        "to help this catalogue)",
    )  # fmt: skip
    parser.add_argument("--explain", type=Path, metavar="FILE", help="draw why, as a .png or an .html")
    parser.add_argument("--bundle", type=Path, metavar="BUNDLE", help="where the encoder is, if it has moved")
    parser.add_argument("--variant", metavar="NAME", help="of the bundle (default: the one that filled the catalogue)")
    add_server_arguments(parser, "a running server to ask, in place of CATALOGUE")
    parser.add_argument("--json", action="store_true", help="print what POST /search answers")


def run(args: argparse.Namespace) -> int:
    """Search and print."""
    catalogue, pictures = _catalogue_and_pictures(args)
    if not 1 <= args.k <= MAX_K:
        raise ConfigError(f"-k is {args.k}, expected 1 to {MAX_K}")
    if args.filter is not None:
        parse_filter(args.filter)  # what is wrong with it is told before an encoder is loaded
    if args.explain is not None:
        check_target(args.explain)
    files = [read_picture(path) for path in pictures]
    try:
        document = _ask_server(args, files) if catalogue is None else _ask_catalogue(args, catalogue, files)
    except LodiscError as error:
        if bad := (error.detail or {}).get("pictures"):  # by position; here they have names
            raise SourceError("; ".join(f"{pictures[one['position']]}: {one['message']}" for one in bad)) from error
        raise
    if args.json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print(document, pictures, filtered=args.filter is not None)
    return 0


def _catalogue_and_pictures(args: argparse.Namespace) -> tuple[Path | None, list[Path]]:
    """What the positional arguments name; no catalogue where a server is asked.

    Raises:
        ConfigError: they do not fit the flags.
    """
    catalogue, pictures = args.catalogue, list(args.pictures)
    if args.server is not None:
        if catalogue is not None and not catalogue.is_dir():  # the first of several pictures
            catalogue, pictures = None, [catalogue, *pictures]
        given = {"CATALOGUE": catalogue, "--bundle": args.bundle, "--variant": args.variant}
        if unused := [name for name, value in given.items() if value is not None]:
            raise ConfigError(f"the server has its own catalogue and bundle; leave out {' and '.join(unused)}")
    elif catalogue is None:
        raise ConfigError("there is no catalogue; name its folder before the picture, or a server with --server URL")
    elif args.key_file is not None:
        raise ConfigError("--key-file is for --server; a catalogue that is a folder has no keys")
    if len(pictures) > 1 and not args.together:
        raise ConfigError(
            f"there are {len(pictures)} pictures; say --together if they show one thing, or ask for one at a time"
        )
    return catalogue, pictures


def _ask_catalogue(args: argparse.Namespace, path: Path, files: Sequence[bytes]) -> dict[str, Any]:
    with open_catalogue(path) as catalogue:
        bundle = catalogue.find_bundle(args.bundle)
        encoder = ImageEncoder(bundle, variant=catalogue.choose_variant(bundle, args.variant))
        document = search_pictures(
            catalogue, encoder, files, k=args.k, filter=args.filter, rerank=args.rerank,
            explains=args.explain is not None,
        )  # fmt: skip
        if args.explain is not None:
            _explain(args.explain, document, files, lambda item_id: catalogue.thumbnail(item_id) or b"")
        return document


def _ask_server(args: argparse.Namespace, files: Sequence[bytes]) -> dict[str, Any]:
    with open_client(args) as client:
        answered = client.search(
            files, k=args.k, filter=args.filter, rerank=args.rerank, explain=args.explain is not None
        )
        document = dict(answered.document)
        if args.explain is not None:
            _explain(
                args.explain,
                document,
                files,
                lambda item_id: found.content if (found := client.thumbnail(item_id)) else b"",
            )
        return document


def _explain(target: Path, document: dict[str, Any], files: Sequence[bytes], thumbnail: Callable[[str], bytes]) -> None:
    written = write_explanation(target, document, dict(enumerate(files)), thumbnail)
    told = f"{written} matches explained in {target}" if written else "no match could be explained"
    sys.stderr.write(f"{told}\n")


def _answer_line(prediction: dict[str, Any]) -> str:
    """The answer in one line, with rich's markup."""
    confidence = f"{prediction['confidence']:.2f}"
    name = f"[bold]{escape(prediction['label'])}[/bold]"
    if not prediction["calibrated"]:
        return f"{name} ({escape(prediction['rank'])}), {prediction['confidence']:.0%} of the vote (not calibrated)"
    if prediction["unknown"]:
        return (
            f"[bold]none of these[/bold] (unknown score {prediction['unknown_score']:.2f}); "
            f"the nearest is {escape(prediction['rank'])} {escape(prediction['label'])}"
        )
    if prediction["sure"]:
        return f"{name} ({escape(prediction['rank'])}), confidence {confidence}"
    best = ", ".join(
        f"{escape(one['rank'])} {escape(one['labels'][0]['label'])} {one['labels'][0]['confidence']:.2f}"
        + ("" if one.get("calibrated", True) else " of the vote (not calibrated)")
        for one in prediction["ranks"]
    )
    return f"[bold]not sure[/bold]; {best}"


def _counted_line(document: dict[str, Any], pictures: Sequence[Path]) -> str:
    """What each of several photographs counts, and which were left out."""
    counted = ", ".join(
        f"{printable(str(pictures[one['position']]))} {one['weight']:.0%}" for one in document.get("query", ())
    )
    left_out = "".join(
        f"; left out: {printable(str(pictures[one['position']]))} ({one['error']['message']})"
        for one in document.get("errors", ())
    )
    return f"  counted: {counted}{left_out}"


def _print(document: dict[str, Any], pictures: Sequence[Path], *, filtered: bool) -> None:
    console = Console(highlight=False)
    prediction = document["prediction"]
    if not document["matches"]:
        none = "no item passes the filter" if filtered else "the catalogue is empty"
        console.print(f"{none}: nothing to compare with")
        return
    asked = printable(str(pictures[0])) if len(pictures) == 1 else f"{len(pictures)} photographs"
    if prediction["label"] is not None:
        console.print(f"{escape(asked)}: {_answer_line(prediction)}")
        if prediction["help"] is not None:
            console.print(f"  {prediction['help']['text']}", markup=False)
    if len(pictures) > 1:
        console.print(_counted_line(document, pictures), markup=False, soft_wrap=True)
    table = Table()
    table.add_column("score" if document.get("reranked") else "cosine", justify="right")
    table.add_column("labels")
    table.add_column("id")
    for match in document["matches"]:
        # Text of the catalogue is shown as it is, also where it looks like rich's markup.
        table.add_row(f"{match['score']:.3f}", Text(", ".join(match["labels"].values())), Text(match["id"]))
    console.print(table)
    if document["note"]:
        console.print(document["note"], markup=False)
