"""`lodisc index`: build and look after a catalogue."""

import argparse
import sys
from pathlib import Path

from encoder.errors import ConfigError
from index.locks import writing_alone
from index.open_catalogue import open_catalogue
from index.sqlite_catalogue import SqliteCatalogue
from lodisc.actions import Action, add_actions, run_action
from lodisc.commands.index_building import (
    ADD_HELP,
    BUILD_HELP,
    add_add_arguments,
    add_build_arguments,
    run_add,
    run_build,
)
from lodisc.commands.index_calibrating import CALIBRATE_HELP, add_calibrate_arguments, run_calibrate
from lodisc.commands.index_doctoring import DOCTOR_HELP, add_doctor_arguments, run_doctor
from lodisc.commands.index_evaluating import EVALUATE_HELP, add_evaluate_arguments, run_evaluate
from lodisc.commands.index_listing import LIST_HELP, add_list_arguments, run_list
from lodisc.commands.index_local import LOCAL_HELP, add_local_arguments, run_local
from lodisc.commands.index_moving import (
    EXPORT_HELP,
    IMPORT_HELP,
    add_export_arguments,
    add_import_arguments,
    run_export,
    run_import,
)
from lodisc.commands.index_relabelling import RELABEL_HELP, add_relabel_arguments, run_relabel
from lodisc.commands.index_stats import STATS_HELP, add_stats_arguments, run_stats
from lodisc.commands.index_verifying import VERIFY_HELP, add_verify_arguments, run_verify
from lodisc.commands.index_wishing import add_index_arguments, wish

HELP = """\
Build and look after a catalogue.

examples:
  lodisc index build catalogue/ --images photos/ --bundle bundle/ --ranks species,genus
  lodisc index build catalogue/ --images photos.csv --bundle bundle/
  lodisc index add catalogue/ --images more-photos/
  lodisc index remove catalogue/ Vanessa/atalanta/0012.jpg
  lodisc index relabel catalogue/ Vanessa/cardui/0012.jpg --set species=atalanta
  lodisc index list catalogue/ --filter 'genus == "Vanessa" and year >= 2010'
  lodisc index stats catalogue/
  lodisc index local catalogue/
  lodisc index verify catalogue/ --repair
  lodisc index evaluate catalogue/ --html report.html
  lodisc index doctor catalogue/ --html findings.html
  lodisc index calibrate catalogue/
  lodisc index export catalogue/ --to catalogue.parquet
  lodisc index import another-catalogue/ --from catalogue.parquet

Each action explains itself: lodisc index ACTION --help
"""

REMOVE_HELP = """\
Remove items by their ids, as `lodisc search` prints them. The picture files are left alone.

examples:
  lodisc index remove catalogue/ Vanessa/atalanta/0012.jpg Vanessa/atalanta/0013.jpg
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


def _add_remove_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", metavar="ID", help="as `lodisc search` prints it")


def _remove(args: argparse.Namespace) -> int:
    with open_catalogue(args.catalogue) as catalogue, writing_alone(args.catalogue):
        missing = [item_id for item_id in args.ids if catalogue.get(item_id) is None]
        removed = catalogue.delete(args.ids)
    print(f"removed {removed} of {len(args.ids)} items")
    for item_id in missing:
        sys.stderr.write(f"no item {item_id!a} in {args.catalogue}\n")
    return 1 if missing else 0


def _compact(args: argparse.Namespace) -> int:
    with open_catalogue(args.catalogue) as catalogue:
        if not isinstance(catalogue, SqliteCatalogue):
            raise ConfigError(f"{args.catalogue} is kept in Milvus, which looks after its index by itself")
        wish(args, catalogue)
        info = catalogue.compact()
    print(
        f"snapshot {info.seq}: {info.count} items, {info.kind}, recall@10 {info.recall:.3f} against exact search, "
        f"{info.latency_ms:.2f} ms a search"
    )
    return 0


ACTIONS = (
    Action(
        "build", "make the catalogue of a source, or bring it up to date", BUILD_HELP, run_build, add_build_arguments
    ),
    Action("add", "add the pictures of another source", ADD_HELP, run_add, add_add_arguments),
    Action("remove", "remove items by id", REMOVE_HELP, _remove, _add_remove_arguments),
    Action("relabel", "give items other labels", RELABEL_HELP, run_relabel, add_relabel_arguments),
    Action("list", "the items, or those that a filter lets through", LIST_HELP, run_list, add_list_arguments),
    Action("stats", "what is in the catalogue", STATS_HELP, run_stats, add_stats_arguments),
    Action("verify", "see whether it is whole, and repair it", VERIFY_HELP, run_verify, add_verify_arguments),
    Action("evaluate", "how well it tells its items apart", EVALUATE_HELP, run_evaluate, add_evaluate_arguments),
    Action("doctor", "what is likely wrong with it, and what mends it", DOCTOR_HELP, run_doctor, add_doctor_arguments),
    Action("local", "what re-ranking and explanations need", LOCAL_HELP, run_local, add_local_arguments),
    Action("calibrate", "make its confidences probabilities", CALIBRATE_HELP, run_calibrate, add_calibrate_arguments),
    Action("export", "write it as one Parquet file", EXPORT_HELP, run_export, add_export_arguments),
    Action("import", "take in a file of `export`", IMPORT_HELP, run_import, add_import_arguments),
    Action("compact", "build the search snapshot anew", COMPACT_HELP, _compact, add_index_arguments),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their arguments."""
    add_actions(
        parser,
        ACTIONS,
        lambda action: action.add_argument("catalogue", type=Path, metavar="CATALOGUE", help="folder of the catalogue"),
    )


run = run_action
