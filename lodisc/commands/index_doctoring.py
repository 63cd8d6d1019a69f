"""`lodisc index doctor`: what is likely wrong with a catalogue, and the command that mends each thing."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from encoder.errors import ConfigError
from encoder.shell_words import visible
from index.doctor.examination import DEFAULT_SAMPLE, examine
from index.doctor.findings import KINDS, Diagnosis, Finding
from index.doctor.page import write_page
from index.open_catalogue import open_catalogue
from lodisc.commands.whole_numbers import whole
from lodisc.html_option import add_html_argument, check_html, writing_html

NUM_SHOWN = 10
DOCTOR_HELP = f"""\
Say what is likely wrong with the items and labels of a catalogue, and the command that mends each thing. Nothing is
changed: look at the pictures (--html), then run the commands that you agree with.

kinds:
  mislabelled  an item whose neighbours say another label, surer than a label that is merely hard; of several ranks
               the finest that is likely wrong. From which suspicion on is fitted on the catalogue itself. What
               was mistaken again and again, many items of one label for one other, looks right.
  conflict     one picture under different labels
  duplicate    one picture more than once: the same file, or encoded anew or resized; not crops
  spelling     labels that differ only in case, spaces, hyphens or underscores
  confusable   two labels whose items are each other's neighbours as if by chance
  small-label  a label with fewer items than would do, and how many would
  outlier      an item that is far from everything

exit codes: 0 whatever is found; 1 something was found of a kind that --fail-on names; 2 the arguments are wrong.

examples:
  lodisc index doctor catalogue/ --html findings.html
  lodisc index doctor catalogue/ --only mislabelled -n 50
  lodisc index doctor catalogue/ --only duplicate --json
  lodisc index doctor catalogue/ --filter 'genus == "Vanessa"' --fail-on conflict --fail-on mislabelled

Of a catalogue of more than {DEFAULT_SAMPLE} items a sample of so many is examined, against all; --sample 0 examines all
of them, which takes the square of their number.
"""


def add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    for name, meaning in (("--only", "look for this kind"), ("--fail-on", "exit with 1 if this kind is found")):
        parser.add_argument(
            name, action="append", default=[], choices=tuple(KINDS), metavar="KIND", help=f"{meaning} (repeat for more)"
        )
    parser.add_argument(
        "-n", type=whole, default=NUM_SHOWN, metavar="N", help="print N findings of each kind (%(default)s); 0 all"
    )
    parser.add_argument("--filter", metavar="EXPR", help="which items; `lodisc search --help` says what it may hold")
    parser.add_argument(
        "--sample",
        type=whole,
        default=DEFAULT_SAMPLE,
        metavar="N",
        help="examine N items at most (%(default)s); 0 all",
    )
    parser.add_argument("--seed", type=whole, default=0, metavar="SEED", help="of the sample (%(default)s)")
    add_html_argument(parser, "the pictures")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--json", action="store_true", help="as JSON, with every finding")


def run_doctor(args: argparse.Namespace) -> int:
    """Examine it and print what was found."""
    check_html(args.html)
    unseen = [kind for kind in args.fail_on if args.only and kind not in args.only]
    if unseen:
        raise ConfigError(f"--fail-on {unseen[0]} is not looked for with --only {args.only[0]}; name it there too")
    with open_catalogue(args.catalogue) as catalogue:
        diagnosis = examine(
            catalogue, filter=args.filter, kinds=args.only or tuple(KINDS), sample=args.sample, seed=args.seed,
            quiet=args.quiet or args.json,
        )  # fmt: skip
        if args.html is not None:
            with writing_html(args.html):
                write_page(args.html, catalogue, diagnosis)
    if args.json:
        print(json.dumps(_as_json(diagnosis), indent=2, ensure_ascii=False))
    else:
        _print_text(args, diagnosis)
    return int(any(diagnosis.counts()[kind] for kind in args.fail_on))


def _as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    document = asdict(diagnosis) | {"counts": diagnosis.counts()}
    for finding in document["findings"]:
        finding["evidence"] = [{"what": what, "ids": ids} for what, ids in finding["evidence"]]
    return document


def _print_text(args: argparse.Namespace, diagnosis: Diagnosis) -> None:
    console = Console()

    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    tell(f"{args.catalogue}: {diagnosis.num_items} items, {diagnosis.num_asked} examined in {diagnosis.seconds:.1f} s")
    for note in diagnosis.notes:
        tell(f"  {note}")
    looked_for = {kind: num for kind, num in diagnosis.counts().items() if not args.only or kind in args.only}
    table = Table("found", "what", title_justify="left")
    for kind, num in looked_for.items():
        table.add_row(str(num), f"{kind}: {KINDS[kind]}")
    console.print(table)
    for kind, num in looked_for.items():
        shown = [finding for finding in diagnosis.findings if finding.kind == kind][: args.n or None]
        if shown:
            tell(
                f"\n{KINDS[kind]}: {num if len(shown) == num else f'the first {len(shown)} of {num}; -n 0 prints all'}"
            )
        for finding in shown:
            # The command stands on a line of its own, as it is: it is there to be copied.
            print(f"  {_line(finding)}\n    {finding.command}")
    if args.html is not None:
        tell(f"\npage: {args.html}")
    elif diagnosis.findings:
        tell("\nlook at the pictures before you mend anything: --html FILE")


def _line(finding: Finding) -> str:
    sure = "" if finding.confidence is None else f"{finding.confidence:.2f}  "
    where = f"{finding.ids[0]}: " if finding.ids and not finding.kind.endswith("label") else ""
    return visible(f"{sure}{where}{finding.text}")
