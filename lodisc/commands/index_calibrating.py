"""`lodisc index calibrate`: fit a catalogue's answers on itself, so that a confidence is a probability."""

import argparse
import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from encoder.errors import ConfigError
from index.answers.calibrate import DEFAULT_SAMPLE, LEAVE_ONE_OUT, calibrate_catalogue
from index.answers.calibration import (
    CALIBRATION_NAME,
    DEFAULT_FALSE_ACCEPTANCE,
    DEFAULT_FLOOR,
    Calibration,
    write_calibration,
)
from index.answers.calibration_page import write_page
from index.answers.fit_unknown import LOOSEST_ACCEPTANCE
from index.open_catalogue import open_catalogue
from lodisc.commands.whole_numbers import whole
from lodisc.html_option import add_html_argument, check_html, writing_html

CALIBRATE_HELP = f"""\
Make the answers of the catalogue probabilities: fit how its neighbours vote (how many, how near, how large classes
count), what a vote is worth at each label rank, and a score for "none of these". Each item is looked for among all the
others; the stranger's case is made by leaving an item's whole class out. What is printed is cross-validated. The fit
is kept in the catalogue's folder and used by searches and running servers at once; do it again when `lodisc index
stats` says that much has changed.

The answer of a search is the finest rank whose confidence passes the floor: a genus where the species is not sure.

A fit holds for pictures like those it was made on. Where several items show one shelf, one specimen or one burst, each
finds the others and is too sure: name the metadata field that tells them apart with --group, or, better, a catalogue
of labelled pictures taken as new ones will be, with --questions.

examples:
  lodisc index calibrate catalogue/
  lodisc index calibrate catalogue/ --html reliability.html
  lodisc index calibrate catalogue/ --floor 0.9 --false-acceptance 0.01
  lodisc index calibrate catalogue/ --group specimen
  lodisc index calibrate catalogue/ --questions new-pictures-catalogue/

--floor is {DEFAULT_FLOOR} unless told. --false-acceptance is the share of strangers that may be taken for known:
{DEFAULT_FALSE_ACCEPTANCE} unless told, or more where that would reject over half of what is known. Where no rate up to
0.2 would spare it, the verdict is for what is unlike all of the catalogue: it rejects 1 % of what is known, and what is
printed says how many strangers that are like it pass.
"""


def add_calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--floor",
        type=_share,
        default=DEFAULT_FLOOR,
        metavar="P",
        help="least confidence of a sure answer (%(default)s)",
    )
    parser.add_argument(
        "--false-acceptance", type=_share, metavar="P", help="share of strangers that may be taken for known"
    )
    parser.add_argument("--group", metavar="FIELD", help="metadata field of pictures that belong together")
    parser.add_argument(
        "--questions", type=Path, metavar="CATALOGUE", help="ask the labelled pictures of this catalogue instead"
    )
    parser.add_argument(
        "--sample",
        type=whole,
        default=DEFAULT_SAMPLE,
        metavar="N",
        help="ask N pictures at most (%(default)s); 0 all",
    )
    parser.add_argument("--seed", type=whole, default=0, metavar="SEED", help="of the sample (%(default)s)")
    add_html_argument(parser, "the reliability plots")
    parser.add_argument("--json", action="store_true", help="print what was stored, as JSON")


def run_calibrate(args: argparse.Namespace) -> int:
    """Fit, store and print."""
    check_html(args.html)
    if args.group is not None and args.questions is not None:
        raise ConfigError("--group is for items that ask each other; with --questions leave it out")
    with ExitStack() as opened:
        catalogue = opened.enter_context(open_catalogue(args.catalogue))
        questions = None if args.questions is None else opened.enter_context(open_catalogue(args.questions))
        calibration = calibrate_catalogue(
            catalogue, floor=args.floor, false_acceptance=args.false_acceptance, group=args.group, questions=questions,
            sample=args.sample, seed=args.seed, quiet=args.json,
        )  # fmt: skip
        write_calibration(catalogue.path, calibration)
        if args.html is not None:
            with writing_html(args.html):
                write_page(args.html, catalogue, calibration)
    if args.json:
        print(json.dumps(asdict(calibration), indent=2, ensure_ascii=False))
    else:
        _print_text(args, calibration)
    return 0


def _print_text(args: argparse.Namespace, calibration: Calibration) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    asked = "left out one at a time" if calibration.asked == LEAVE_ONE_OUT else f"of {calibration.asked}"
    if calibration.group is not None:
        asked += f", with all that have its {calibration.group}"
    console.print(
        f"{args.catalogue}: {calibration.num_questions} pictures {asked}, asked of {calibration.num_items} items; "
        f"{calibration.k} neighbours vote"
    )
    console.print(_rank_table(calibration))
    for line in _unknown_lines(calibration):
        console.print(line)
    console.print(f"stored: {args.catalogue / CALIBRATION_NAME}; searches and running servers use it from now on")
    if calibration.asked == LEAVE_ONE_OUT:
        console.print(
            "  it holds for pictures like these; where they come in series, see --group and --questions in --help"
        )
    if args.html is not None:
        console.print(f"page: {args.html}")


def _rank_table(calibration: Calibration) -> Table:
    table = Table("cross-validated", title_justify="left")
    for rank in calibration.ranks:
        table.add_column(rank, justify="right")
    ranks = calibration.ranks.values()
    table.add_row("questions", *(str(one.num_questions) for one in ranks))
    table.add_row("alone with their label", *(str(one.num_alone) for one in ranks))
    table.add_row("first neighbour right", *(f"{one.first_accuracy:.3f}" for one in ranks))
    table.add_row("vote right", *(f"{one.accuracy:.3f}" for one in ranks))
    table.add_row("calibration error before", *(f"{one.error_before:.3f}" for one in ranks))
    table.add_row("calibration error now", *(f"{one.error:.3f}" for one in ranks))
    table.add_row("  of which by chance about", *(f"{one.error_by_chance:.3f}" for one in ranks))
    table.add_row(f"sure (confidence >= {calibration.floor:g})", *(f"{one.coverage:.0%}" for one in ranks))
    table.add_row(
        "  of those right", *("-" if one.sure_accuracy is None else f"{one.sure_accuracy:.3f}" for one in ranks)
    )
    for num in sorted({num for one in ranks for num in one.several}):
        several = [one.several.get(num) for one in ranks]
        table.add_row(
            f"{num} photographs: vote right", *("-" if one is None else f"{one.accuracy:.3f}" for one in several)
        )
        table.add_row("  calibration error", *("-" if one is None else f"{one.error:.3f}" for one in several))
        table.add_row(
            "  of which by chance about", *("-" if one is None else f"{one.error_by_chance:.3f}" for one in several)
        )
    return table


def _unknown_lines(calibration: Calibration) -> list[str]:
    unknown = calibration.unknown
    if unknown is None:
        return ["none of these: no score; it takes three labels with two items each"]
    head = f"none of these: AUROC {unknown.auroc:.3f} on {unknown.num_questions} known and as many strangers"
    at_default = f"{DEFAULT_FALSE_ACCEPTANCE:.0%} of strangers accepted, {unknown.rejected_at_default:.0%} of the known"
    low, high = unknown.false_acceptance_interval
    lines = [
        head,
        f"  from a score of {unknown.threshold:.3f} on it is unknown: {unknown.false_acceptance:.1%} of strangers are "
        f"taken for known ({low:.1%} to {high:.1%} by which labels they are of), {unknown.known_rejected:.1%} of the "
        "known are rejected",
    ]
    if unknown.wanted_acceptance is None and unknown.false_acceptance > LOOSEST_ACCEPTANCE:
        lines.append("  these are strangers much like the catalogue's own; what is unlike all of it is told better")
    if unknown.wanted_acceptance is None and unknown.false_acceptance > DEFAULT_FALSE_ACCEPTANCE:
        lines.append(f"  at {at_default} would be rejected; ask for it with --false-acceptance")
    return lines


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return value
