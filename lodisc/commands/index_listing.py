"""`lodisc index list`: the items of a catalogue, or those that a filter lets through."""

import argparse
import itertools
import json
from collections.abc import Iterator

from index.catalogue import Catalogue
from index.items import Item
from index.open_catalogue import open_catalogue
from lodisc.commands.whole_numbers import whole

PAGE = 1000

LIST_HELP = """\
Print the ids of the items, one a line, in their order; with --json what else is known of them.

examples:
  lodisc index list catalogue/
  lodisc index list catalogue/ --filter 'genus == "Vanessa" and year >= 2010 and locality in ("Ulm", "Bonn")'
  lodisc index list catalogue/ --filter 'not exists(year)' --count
  lodisc index list catalogue/ --filter 'startswith(id, "Vanessa/")' --limit 10 --json
"""


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--filter", metavar="EXPR", help="which items; `lodisc search --help` says what it may hold")
    parser.add_argument("--limit", type=whole, metavar="N", help="not more than N items")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--count", action="store_true", help="only how many there are, whatever the limit")
    form.add_argument("--json", action="store_true", help="one JSON object a line: id, labels, metadata, source")


def run_list(args: argparse.Namespace) -> int:
    """Print the items."""
    with open_catalogue(args.catalogue) as catalogue:
        if args.count:
            print(catalogue.count(args.filter))
            return 0
        for item in itertools.islice(_items(catalogue, args.filter), args.limit):
            print(_as_json(item) if args.json else item.id)
    return 0


def _items(catalogue: Catalogue, filter: str | None) -> Iterator[Item]:
    cursor = None
    while True:
        page = catalogue.items(cursor, PAGE, filter)
        yield from page.items
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


def _as_json(item: Item) -> str:
    document = {"id": item.id, "labels": item.labels, "metadata": item.metadata, "source": item.source}
    return json.dumps(document, ensure_ascii=False)
