"""`lodisc evaluate`: how well a run or a bundle finds pictures of the same label."""

import argparse
import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from encoder.errors import MissingExtraError

HELP = """\
Measure retrieval on labelled pictures (one sub-folder a label): rank-1, rank-5 and mAP by cosine.
Each picture is a query against all others (leave one out), or against --gallery.

examples:
  lodisc evaluate run/ --data photos/test
  lodisc evaluate bundle/ --data photos/test --gallery photos/train
  lodisc evaluate run/ --data photos/test --json > figures.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", type=Path, metavar="RUN|BUNDLE", help="folder of a run or of a bundle")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the queries, one sub-folder a label")
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="search these instead of the other queries")
    parser.add_argument("--feature", choices=("cls", "mean", "cls+mean"), help="of a run (default: as its recipe says)")
    parser.add_argument("--device", default="auto", help="auto (the GPU if there is one), cpu, cuda ...")
    parser.add_argument("--no-baselines", action="store_true", help="leave out the untrained ViT and the histogram")
    parser.add_argument("--json", action="store_true", help="print the encoder's figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    evaluation = _training("evaluation")
    pictures = evaluation.labelled_pictures(args.data)
    gallery = evaluation.labelled_pictures(args.gallery) if args.gallery else None
    scores = evaluation.evaluate(
        args.source,
        pictures,
        gallery,
        device=_training("device").choose_device(args.device),
        feature=args.feature,
        baselines=not args.no_baselines and not args.json,
    )
    if args.json:
        print(json.dumps(dataclasses.asdict(scores["encoder"]), indent=2))
    else:
        _print_table(scores, args, len(pictures.rejected) + (len(gallery.rejected) if gallery else 0))
    return 0


def _print_table(scores: dict[str, Any], args: argparse.Namespace, num_rejected: int) -> None:
    protocol = f"gallery {args.gallery}" if args.gallery else "leave one out"
    table = Table(title=f"{args.source} on {args.data} ({protocol})", title_justify="left")
    table.add_column("method")
    for column in ("rank-1", "rank-5", "mAP"):
        table.add_column(column, justify="right")
    for method, score in scores.items():
        table.add_row(method, f"{score.rank_1:.3f}", f"{score.rank_5:.3f}", f"{score.mean_average_precision:.3f}")
    console = Console()
    console.print(table)
    encoder = scores["encoder"]
    console.print(
        f"{encoder.num_queries} queries; {encoder.num_without_positive} more have no other picture of their label "
        f"and are not counted; {num_rejected} files left out"
    )


def _training(module: str) -> Any:
    """A module of the training room, or the name of the extra that it needs."""
    try:
        return importlib.import_module(f"training.{module}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"lodisc evaluate needs {error.name}: pip install '.[train]'") from error
