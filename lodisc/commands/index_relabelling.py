"""`lodisc index relabel`: other labels for items that are there."""

import argparse
import sys
from collections.abc import Iterator

from encoder.errors import ConfigError
from index.catalogue import Catalogue
from index.filter_expression import ID
from index.locks import writing_alone
from index.open_catalogue import open_catalogue
from index.relabel import relabel
from index.text import is_text

PAGE = 1000

RELABEL_HELP = """\
Give items other labels. Their embeddings, thumbnails and metadata stay, and so do the labels of ranks that are not
named; the items keep their ids. A later `lodisc index build` of the source that they came from takes the labels of the
source again, so mend them there too.

It may run beside a server that writes, and undoes nothing of that. Only where the items are in Milvus, what the server
writes to an item just while it is relabelled may be lost: relabel there when nobody else writes.

examples:
  lodisc index relabel catalogue/ Vanessa/cardui/0012.jpg --set species=atalanta
  lodisc index relabel catalogue/ 0012.jpg 0013.jpg --set species=urticae --set genus=Aglais
  lodisc index relabel catalogue/ --filter 'species == "Atalanta"' --set species=atalanta
  lodisc index relabel catalogue/ 0012.jpg --unset species
"""


def add_relabel_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ids", nargs="*", metavar="ID", help="as `lodisc search` prints it")
    parser.add_argument(
        "--filter", metavar="EXPR", help="all items that it lets through; `lodisc search --help` says what it may hold"
    )
    parser.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="RANK=NAME", help="the new label (repeat for more)"
    )
    parser.add_argument(
        "--unset", type=_rank, action="append", default=[], metavar="RANK", help="take the label of this rank away"
    )


def run_relabel(args: argparse.Namespace) -> int:
    """Write the labels; 1 if there is no item of one of the ids."""
    labels = dict(args.set)
    if bool(args.ids) == (args.filter is not None):
        raise ConfigError("name the items either by their IDs or by --filter")
    if not labels and not args.unset:
        raise ConfigError("nothing to do: name the new label with --set RANK=NAME, or --unset RANK")
    twice = [rank for rank in args.unset if rank in labels]
    if len(labels) < len(args.set) or twice:
        raise ConfigError("a rank is named twice by --set and --unset; name each once")
    with open_catalogue(args.catalogue) as catalogue, writing_alone(args.catalogue):
        # All of them before the first is written: pages of a filter would shift with the labels it asks for.
        ids = args.ids if args.filter is None else list(_matching(catalogue, args.filter))
        changed, missing = relabel(catalogue, dict.fromkeys(ids), labels, args.unset)
    print(f"relabelled {changed} of {len(dict.fromkeys(ids))} items")
    for item_id in missing:
        sys.stderr.write(f"no item {item_id!a} in {args.catalogue}\n")
    return 1 if missing else 0


def _matching(catalogue: Catalogue, filter: str) -> Iterator[str]:
    cursor = None
    while True:
        page = catalogue.items(cursor, PAGE, filter)
        yield from (item.id for item in page.items)
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


def _setting(text: str) -> tuple[str, str]:
    rank, equals, name = text.partition("=")
    if not equals or not name or not is_text(name):
        raise argparse.ArgumentTypeError(f"{text!r} is not RANK=NAME")
    return _rank(rank), name


def _rank(text: str) -> str:
    if not text or not is_text(text) or text == ID:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be a label rank")
    return text
