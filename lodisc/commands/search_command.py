"""`lodisc search`: what is this picture, according to a catalogue?"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from encoder.errors import ConfigError
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess, read_picture
from index.answer import answer
from index.answers.asking import ask
from index.answers.explanation import seen_box
from index.answers.follower import CalibrationFollower
from index.answers.influence import with_influence
from index.answers.local_features import pivotal_patches_of
from index.answers.local_search import QueryPicture, add_to_document, plan_local
from index.catalogue import MAX_K, Catalogue
from index.filter_parser import parse_filter
from index.open_catalogue import open_catalogue
from index.text import printable
from lodisc.explained_search import check_target, write_explanation
from lodisc.server_option import add_server_arguments, open_client

HELP = """\
Find the pictures of a catalogue that are most like a picture, and the name they vote for.

examples:
  lodisc search catalogue/ unknown.jpg
  lodisc search catalogue/ unknown.jpg -k 20 --json
  lodisc search --server https://search.example.org unknown.jpg --key-file key.txt
  lodisc search catalogue/ unknown.jpg --filter 'genus == "Vanessa" and year >= 2010'
  lodisc search catalogue/ unknown.jpg --explain why.html

With --server a running server is asked, and CATALOGUE is left out. --explain draws which region of the picture met
which of each of the first matches, and needs `lodisc index local CATALOGUE` once, as --rerank does.

a filter compares label ranks, metadata and id (==, !=, <, <=, >, >=, in (...), not in (...)) with texts in quotes,
numbers, true or false; exists(NAME), startswith(NAME, "text") and contains(NAME, "text") ask for a value and for a part
of it; and, or, not and brackets join them. An unusual name stands between brackets: [catalogue number].
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("catalogue", type=Path, nargs="?", metavar="CATALOGUE", help="folder of the catalogue")
    parser.add_argument("picture", type=Path, metavar="PICTURE", help="the picture to ask about")
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
    if not 1 <= args.k <= MAX_K:
        raise ConfigError(f"-k is {args.k}, expected 1 to {MAX_K}")
    if args.filter is not None:
        parse_filter(args.filter)  # what is wrong with it is told before an encoder is loaded
    if args.explain is not None:
        check_target(args.explain)
    document = _ask_catalogue(args) if args.server is None else _ask_server(args)
    if args.json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print(document, args.picture, filtered=args.filter is not None)
    return 0


def _ask_catalogue(args: argparse.Namespace) -> dict[str, Any]:
    if args.catalogue is None:
        raise ConfigError("there is no catalogue; name its folder before the picture, or a server with --server URL")
    if args.key_file is not None:
        raise ConfigError("--key-file is for --server; a catalogue that is a folder has no keys")
    with open_catalogue(args.catalogue) as catalogue:
        bundle = catalogue.find_bundle(args.bundle)
        encoder = ImageEncoder(bundle, variant=catalogue.choose_variant(bundle, args.variant))
        document = _search(catalogue, encoder, args)
        if args.explain is not None:
            _explain(args, document, lambda item_id: catalogue.thumbnail(item_id) or b"")
        return document


def _ask_server(args: argparse.Namespace) -> dict[str, Any]:
    given = {"CATALOGUE": args.catalogue, "--bundle": args.bundle, "--variant": args.variant}
    if unused := [name for name, value in given.items() if value is not None]:
        raise ConfigError(f"the server has its own catalogue and bundle; leave out {' and '.join(unused)}")
    with open_client(args) as client:
        answered = client.search(
            args.picture, k=args.k, filter=args.filter, rerank=args.rerank, explain=args.explain is not None
        )
        document = dict(answered.document)
        if args.explain is not None:
            _explain(args, document, lambda item_id: found.content if (found := client.thumbnail(item_id)) else b"")
        return document


def _explain(args: argparse.Namespace, document: dict[str, Any], thumbnail: Callable[[str], bytes]) -> None:
    written = write_explanation(args.explain, document, {0: read_picture(args.picture)}, thumbnail)
    told = f"{written} matches explained in {args.explain}" if written else "no match could be explained"
    sys.stderr.write(f"{told}\n")


def _search(catalogue: Catalogue, encoder: ImageEncoder, args: argparse.Namespace) -> dict[str, Any]:
    plan = plan_local(catalogue, rerank=args.rerank, explains=args.explain is not None, has_patches=True)
    clock = [time.perf_counter()]
    preprocessing = encoder.manifest.preprocessing
    picture = decode_picture(read_picture(args.picture), min_side_wanted=preprocessing.image_size)
    pixels = preprocess(picture, preprocessing)
    clock.append(time.perf_counter())
    patches = None
    if plan is not None and plan.explains:
        embedding_D, patches = with_influence(encoder, pixels)
    elif plan is not None:
        encoded = encoder.encode(pixels[None], attention=True, tokens=True)
        embedding_D, patches = encoded.embedding_BD[0], pivotal_patches_of(encoded)[0]
    else:
        embedding_D = encoder.encode(pixels[None]).embedding_BD[0]
    clock.append(time.perf_counter())
    calibration = CalibrationFollower(catalogue.path, catalogue.manifest).current()
    k = args.k if plan is None else plan.num_candidates(args.k)
    asked = ask(catalogue, embedding_D[None], k=k, filter=args.filter, calibration=calibration)
    query = {}
    if plan is not None and patches is not None:
        box = seen_box(encoder.manifest, picture.width, picture.height)
        query = plan.photographs({0: QueryPicture(patches, box)})
        asked = replace(asked, matches=plan.order(asked.matches, query, args.k))
    clock.append(time.perf_counter())
    timing_ms = {
        stage: (end - start) * 1e3
        for stage, start, end in zip(("decode", "encode", "search"), clock, clock[1:], strict=False)
    }
    document = answer(
        encoder.manifest, asked, timing_ms, domain=catalogue.domain, ranks=catalogue.ranks, calibration=calibration,
        positions=[0],
    )  # fmt: skip
    if plan is not None:
        add_to_document(document, plan, asked.matches, query)
    return document


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
        for one in prediction["ranks"]
    )
    return f"[bold]not sure[/bold]; {best}"


def _print(document: dict[str, Any], picture: Path, *, filtered: bool) -> None:
    console = Console(highlight=False)
    prediction = document["prediction"]
    if not document["matches"]:
        none = "no item passes the filter" if filtered else "the catalogue is empty"
        console.print(f"{none}: nothing to compare with")
        return
    if prediction["label"] is not None:
        console.print(f"{escape(printable(str(picture)))}: {_answer_line(prediction)}")
        if prediction["help"] is not None:
            console.print(f"  {prediction['help']['text']}", markup=False)
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
