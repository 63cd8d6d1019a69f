"""`lodisc index evaluate`: how good a catalogue is, measured on its own labelled items."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from encoder.bootstrap import Figure
from encoder.retrieval_by_label import most_confused
from index.catalogue import MAX_K
from index.evaluation import DEFAULT_K, DEFAULT_SAMPLE, Evaluation, RankEvaluation, evaluate_catalogue
from index.evaluation_classes import class_rows, confusion
from index.evaluation_page import write_page
from index.open_catalogue import open_catalogue
from lodisc.commands.whole_numbers import whole
from lodisc.html_option import add_html_argument, check_html, writing_html

EVALUATE_HELP = f"""\
Measure how well the catalogue tells its own items apart: each labelled item is looked for among all the others (leave
one out). At every label rank: rank-1, rank-5, rank-10, mAP, the vote of the neighbours, each label, and which labels
are taken for each other; beside that, what the live search finds of what exact search finds, and how long it takes.

Items with the same content as an earlier one are left out: to find one's own copy is no achievement. Of a large
catalogue a sample of the items is asked, against all of them; intervals are 95 % (bootstrap over the questions).
These are figures for pictures like those of the catalogue, not for pictures of another camera or place.

examples:
  lodisc index evaluate catalogue/
  lodisc index evaluate catalogue/ --html report.html
  lodisc index evaluate catalogue/ --rank species --per-class --confusions 20
  lodisc index evaluate catalogue/ --filter 'genus == "Vanessa"' --sample 0 --json

--sample is {DEFAULT_SAMPLE} unless told; 0 asks all items, which takes the square of their number.
"""

NUM_CONFUSIONS = 10
NAMES = {"mAP": "mAP", "vote_accuracy": "vote accuracy"}


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--filter", metavar="EXPR", help="which items; `lodisc search --help` says what it may hold")
    parser.add_argument(
        "--rank", action="append", default=[], metavar="RANK", help="measure this label rank (repeat for more; all)"
    )
    parser.add_argument("-k", type=_k, default=DEFAULT_K, metavar="K", help="neighbours that vote (%(default)s)")
    parser.add_argument(
        "--sample", type=whole, default=DEFAULT_SAMPLE, metavar="N", help="ask N items at most (%(default)s); 0 all"
    )
    parser.add_argument("--seed", type=whole, default=0, metavar="SEED", help="of the sample (%(default)s)")
    parser.add_argument("--per-class", action="store_true", help="also print each label, the hardest first")
    parser.add_argument(
        "--confusions", type=whole, default=NUM_CONFUSIONS, metavar="N",
        help="print the N most confused pairs of labels (%(default)s)",
    )  # fmt: skip
    add_html_argument(parser, "plots and thumbnails")
    parser.add_argument("--json", action="store_true", help="as JSON, with every label and the confusion tables")


def run_evaluate(args: argparse.Namespace) -> int:
    """Measure it and print the figures."""
    check_html(args.html)
    with open_catalogue(args.catalogue) as catalogue:
        evaluation = evaluate_catalogue(
            catalogue, filter=args.filter, ranks=args.rank, k=args.k, sample=args.sample, seed=args.seed,
            quiet=args.json,
        )  # fmt: skip
        if args.html is not None:
            with writing_html(args.html):
                write_page(args.html, catalogue, evaluation)
    if args.json:
        print(json.dumps(_as_json(evaluation, args.confusions), indent=2, ensure_ascii=False))
    else:
        _print_text(args, evaluation)
    return 0


def _as_json(evaluation: Evaluation, num_confusions: int) -> dict[str, Any]:
    answer = {name: value for name, value in vars(evaluation).items() if name not in ("ranks", "search")}
    answer["search"] = asdict(evaluation.search)
    answer["ranks"] = {measured.rank: _rank_as_json(measured, num_confusions) for measured in evaluation.ranks}
    return answer


def _rank_as_json(measured: RankEvaluation, num_confusions: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "num_labels": measured.num_labels,
        "num_items": measured.num_items,
        "num_queries": len(measured.results.labels),
        "num_without_positive": measured.results.num_without_positive,
        "figures": {name: asdict(figure) for name, figure in measured.figures.items()},
        "per_class": [asdict(row) for row in class_rows(measured)],
        "confusions": [
            {"labels": [one, other], "times": times, "num_queries": num}
            for one, other, times, num in most_confused(measured.results, num_confusions)
        ],
    }
    table = confusion(measured)
    if table is not None:
        answer["confusion_table"] = {"labels": table[0], "found_first": table[1].tolist()}
    return answer


def _print_text(args: argparse.Namespace, evaluation: Evaluation) -> None:
    console = Console()
    sampled = "" if evaluation.num_queries == evaluation.num_candidates else f" (sampled, seed {evaluation.seed})"
    console.print(
        f"{args.catalogue}: {evaluation.num_items} items"
        f"{f' that satisfy {evaluation.filter}' if evaluation.filter else ''}, each question against all others; "
        f"{evaluation.num_queries} of {evaluation.num_candidates} possible questions{sampled}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    for note in evaluation.notes():
        console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)
    if evaluation.ranks:
        console.print(_figure_table(evaluation))
    search = evaluation.search
    recall = f"recall@{search.k} {_interval(search.recall)} against exact search, " if search.recall else ""
    times = ", ".join(f"{name} {value:.2f} ms" for name, value in search.latency_ms.items()) or "nothing to time"
    console.print(f"live search: {recall}{times}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"  {search.served_by()}; one search at a time, one thread", markup=False, highlight=False, soft_wrap=True
    )
    for measured in evaluation.ranks:
        if args.per_class:
            console.print(_class_table(measured))
        if args.confusions and any(pair[0] != pair[1] for pair in measured.pairs()):
            console.print(_confusion_table(measured, args.confusions))
    if args.html is not None:
        console.print(f"page: {args.html}", markup=False, highlight=False, soft_wrap=True)


def _figure_table(evaluation: Evaluation) -> Table:
    table = Table("figure", title="by label rank, 95 % intervals", title_justify="left")
    for measured in evaluation.ranks:
        table.add_column(measured.rank, justify="right")
    rows = dict.fromkeys(name for measured in evaluation.ranks for name in measured.figures)
    for name in rows:
        figures = (measured.figures.get(name) for measured in evaluation.ranks)
        table.add_row(NAMES.get(name, name.replace("_", "-")), *(_interval(figure) for figure in figures))
    table.add_row("questions", *(str(len(measured.results.labels)) for measured in evaluation.ranks))
    table.add_row("no answer", *(str(measured.results.num_without_positive) for measured in evaluation.ranks))
    table.add_row("labels", *(str(measured.num_labels) for measured in evaluation.ranks))
    return table


def _class_table(measured: RankEvaluation) -> Table:
    table = Table(title=f"{measured.rank}, hardest first", title_justify="left")
    table.add_column("label", overflow="fold")
    for column in ("items", "questions", "rank-1", "AP"):
        table.add_column(column, justify="right")
    table.add_column("most confused with", overflow="fold")
    for row in class_rows(measured):
        mistaken = f"{row.mistaken_for} ({row.times})" if row.mistaken_for is not None else ""
        scores = ("-", "-") if row.rank_1 is None else (f"{row.rank_1:.3f}", f"{row.average_precision:.3f}")
        table.add_row(row.label, str(row.num_items), str(row.num_queries), *scores, mistaken)
    return table


def _confusion_table(measured: RankEvaluation, num_pairs: int) -> Table:
    table = Table(title=f"{measured.rank}: most often confused", title_justify="left")
    table.add_column("label", overflow="fold")
    table.add_column("label", overflow="fold")
    for column in ("times", "of questions"):
        table.add_column(column, justify="right")
    for one, other, times, num in most_confused(measured.results, num_pairs):
        table.add_row(one, other, str(times), str(num))
    return table


def _interval(figure: Figure | None) -> str:
    return "-" if figure is None else f"{figure.value:.3f} ({figure.low:.3f}-{figure.high:.3f})"


def _k(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_K:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MAX_K}")
    return int(text)
