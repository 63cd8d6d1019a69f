"""`lodisc evaluate`: how well a run or a bundle finds and tells apart labelled pictures."""

import argparse
import dataclasses
import importlib
import json
import logging
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from encoder.errors import ConfigError, MissingExtraError
from encoder.retrieval_by_label import most_confused, per_class
from lodisc.commands.whole_numbers import whole

logger = logging.getLogger(__name__)

HELP = """\
Measure an encoder on labelled pictures (one sub-folder a label), with baselines beside it and 95 % bootstrap intervals.
Retrieval: rank-1, rank-5 and mAP by cosine; each picture is a query against all others (leave one out), or against
--gallery. kNN and linear probing learn from --gallery, or from the training split of a published set.

examples:
  lodisc evaluate run/ --data photos/test
  lodisc evaluate run/best.safetensors --data photos/test --gallery photos/train --protocol all
  lodisc evaluate bundle/ --data CUB_200_2011/ --layout cub200 --protocol all --confusions 10
  lodisc evaluate run/ --data photos/test --feature cls+mean --per-class
  lodisc evaluate run/ --data photos/test --json > figures.json
Figures on a test set are for reporting. To choose a checkpoint, a feature or a recipe, hold training pictures out
(lodisc train --holdout).
"""
ROWS = {
    "rank_1": "rank-1", "rank_5": "rank-5", "mAP": "mAP", "knn_top_1": "kNN top-1", "knn_top_5": "kNN top-5",
    "linear_top_1": "linear top-1", "linear_top_5": "linear top-5",
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", type=Path, metavar="RUN|BUNDLE", help="folder of a run or a bundle, or a checkpoint")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the queries, one sub-folder a label")
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="search these instead of the other queries")
    parser.add_argument(
        "--layout",
        default="folder",
        help="how --data is laid out: folder; or cub200, stanford_cars, fgvc_aircraft, caltech101, whose test pictures "
        "are then the queries and whose training pictures kNN and linear probing learn from",
    )
    parser.add_argument(
        "--protocol", choices=("retrieval", "knn", "linear", "all"), default="retrieval", help="what to measure"
    )
    parser.add_argument(
        "--feature",
        help="of a run: cls, mean, projector, predictor, or several joined by +, as in cls+0.5*mean (default: as its "
        "recipe says)",
    )
    parser.add_argument("--per-class", action="store_true", help="also print retrieval of each label, hardest first")
    parser.add_argument(
        "--confusions", type=whole, default=0, metavar="N", help="also print the N pairs of labels most often confused"
    )
    parser.add_argument("--device", default="auto", help="auto (the GPU if there is one), cpu, cuda ...")
    parser.add_argument("--no-baselines", action="store_true", help="leave out the untrained ViT and the histogram")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if (args.per_class or args.confusions) and args.protocol not in ("retrieval", "all"):
        raise ConfigError("--per-class and --confusions are of retrieval; use --protocol retrieval or all")
    if args.layout != "folder" and args.gallery:
        raise ConfigError(f"--layout {args.layout} has its own training pictures; leave out --gallery")
    embedders, evaluation = _training("embedders"), _training("evaluation")
    protocols = evaluation.PROTOCOLS if args.protocol == "all" else (args.protocol,)
    if args.protocol == "all" and args.layout == "folder" and not args.gallery:
        protocols = ("retrieval", "knn")
        logger.warning("linear probing is left out: it needs pictures to learn from; name them with --gallery")
    pictures = embedders.labelled_pictures(args.data, args.layout)
    gallery = embedders.labelled_pictures(args.gallery) if args.gallery else None
    learns = args.layout != "folder" and set(protocols) != {"retrieval"}
    train = embedders.labelled_pictures(args.data, args.layout, "train") if learns else None
    found = evaluation.evaluate(
        args.source,
        pictures,
        gallery,
        train,
        device=_training("device").choose_device(args.device),
        feature=args.feature,
        protocols=protocols,
        baselines=not args.no_baselines,
    )
    rejected = [pair for part in (pictures, gallery, train) if part for pair in part.rejected]
    if args.json:
        print(json.dumps(_as_json(found, args, rejected), indent=2))
    else:
        _print_tables(found, args, rejected)
    return 0


def _as_json(found: dict[str, Any], args: argparse.Namespace, rejected: list[tuple[Path, str]]) -> dict[str, Any]:
    results = found["encoder"].results
    answer: dict[str, Any] = dataclasses.asdict(results.scores()) if results is not None else {}
    answer["methods"] = {
        method: {name: dataclasses.asdict(figure) for name, figure in measured.figures.items()}
        for method, measured in found.items()
    }
    if args.per_class:
        answer["per_class"] = [dataclasses.asdict(row) for row in per_class(results)]
    if args.confusions:
        answer["confusions"] = [
            {"labels": [one, other], "times": times, "num_queries": num}
            for one, other, times, num in most_confused(results, args.confusions)
        ]
    answer["left_out"] = [{"path": str(path), "reason": reason} for path, reason in rejected]
    return answer


def _print_tables(found: dict[str, Any], args: argparse.Namespace, rejected: list[tuple[Path, str]]) -> None:
    console = Console()
    protocol = f"gallery {args.gallery}" if args.gallery else "leave one out"
    table = Table(title=escape(f"{args.source} on {args.data} ({protocol})"), title_justify="left")
    table.add_column("figure")
    encoder = found["encoder"]
    for method in found:
        table.add_column(method, justify="right")
        if method == "encoder":
            table.add_column("95 % interval", style="dim")
    for name, figure in encoder.figures.items():
        others = (f"{measured.figures[name].value:.3f}" for method, measured in found.items() if method != "encoder")
        table.add_row(ROWS[name], f"{figure.value:.3f}", f"{figure.low:.3f}-{figure.high:.3f}", *others)
    console.print(table)
    if encoder.results is not None:
        scores = encoder.results.scores()
        console.print(
            f"{scores.num_queries} queries; {scores.num_without_positive} more have no other picture of their label "
            f"and are not counted; {len(rejected)} files left out"
        )
    for path, reason in rejected[:5]:
        console.print(f"  left out {path}: {reason}", markup=False)
    if args.per_class:
        console.print(_class_table(encoder.results))
    if args.confusions:
        console.print(_confusion_table(encoder.results, args.confusions))


def _class_table(results: Any) -> Table:
    table = Table(title="by label, hardest first", title_justify="left")
    table.add_column("label")
    for column in ("queries", "rank-1", "rank-5", "mAP"):
        table.add_column(column, justify="right")
    for row in per_class(results):
        figures = (f"{value:.3f}" for value in (row.rank_1, row.rank_5, row.mean_average_precision))
        table.add_row(escape(row.label), str(row.num_queries), *figures)
    return table


def _confusion_table(results: Any, num_pairs: int) -> Table:
    table = Table(title="most often confused by the first neighbour", title_justify="left")
    for column in ("label", "label"):
        table.add_column(column)
    for column in ("times", "of queries"):
        table.add_column(column, justify="right")
    for one, other, times, num in most_confused(results, num_pairs):
        table.add_row(escape(one), escape(other), str(times), str(num))
    return table


def _training(module: str) -> Any:
    """A module of the training room, or the name of the extra that it needs."""
    try:
        return importlib.import_module(f"training.{module}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"lodisc evaluate needs {error.name}: pip install -e '.[train]'") from error
