"""The arguments of `lodisc index` that say what the search index has to be like."""

import argparse
import re
from dataclasses import replace

from encoder.errors import ConfigError
from index.ann_wishes import DEFAULT_RECALL, IndexWishes
from index.catalogue import Catalogue
from index.sqlite_catalogue import SqliteCatalogue


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
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


def check_wishes(args: argparse.Namespace, dim: int, *, has_store: bool) -> None:
    """See that an index of `dim` dimensions can be as the arguments ask, before anything is written or thrown away.

    Raises:
        ConfigError: it cannot, or they ask something, and a store with an index of its own has the items.
    """
    if has_store and (args.recall is not None or args.exact or args.faiss or args.memory is not None):
        raise ConfigError(
            "--recall, --exact, --faiss and --memory choose the index of a catalogue folder; Milvus keeps its own: "
            "leave them out"
        )
    _wished(args, IndexWishes()).check_factory(dim)


def wish(args: argparse.Namespace, catalogue: Catalogue) -> None:
    """Keep what the arguments ask of the index; what they leave open stays as it was.

    Raises:
        ConfigError: as `check_wishes`.
    """
    if not isinstance(catalogue, SqliteCatalogue):
        check_wishes(args, catalogue.manifest.embedding_dim, has_store=True)
        return
    old = catalogue.wishes()
    new = _wished(args, old)
    if new != old:
        catalogue.wish(new)


def _wished(args: argparse.Namespace, old: IndexWishes) -> IndexWishes:
    new = old
    if args.recall is not None or args.exact or args.faiss:
        recall = args.recall if args.recall is not None else old.recall
        new = IndexWishes(recall=recall, memory=old.memory, exact=args.exact, faiss=args.faiss)
    if args.memory is not None:
        new = replace(new, memory=args.memory)
    return new


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 800MB or 4GB")
    return int(float(found[1]) * 1000 ** " kmgt".index(found[2].lower() or " "))
