"""The `lodisc` command: finds the subcommand, imports only that one, turns our errors into exit codes.

Exit codes: 0 done; 1 something failed that the arguments could not have prevented; 2 the arguments or the
files they name are wrong; 130 interrupted.

A subcommand is a module of `lodisc.commands` with `HELP`, `add_arguments(parser)` and `run(args) -> int`. It is
imported only when its name is on the command line, so that `lodisc search` never pays for torch.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from encoder.errors import LodiscError
from lodisc.parser import Parser

# Listed by hand, with the line that `lodisc --help` shows, so that help needs no import.
COMMANDS = {
    "demo": "draw the demo insects (or take your folder), index them, serve them",
    "train": "train an encoder on a folder of pictures, without labels or with them",
    "evaluate": "measure retrieval of a run or a bundle on labelled pictures",
    "export": "turn a training run, published weights or a timm model into a bundle that servers can load",
    "default-encoder": "pack, train, measure and export an encoder from a folder of sets, in one go",
    "bundle": "look at bundles: show, verify, diff, register, split, join",
    "index": "build and look after a catalogue",
    "search": "find the pictures of a catalogue that are most like a picture",
    "serve": "answer over HTTP from a catalogue",
    "key": "make, list and revoke the API keys of a server",
}

EPILOG = """\
from photographs to an answer:
  lodisc train --data photos/ --out run/
  lodisc export run/ --out bundle/
  lodisc index build catalogue/ --images photos/ --bundle bundle/
  lodisc search catalogue/ unknown.jpg
  lodisc serve catalogue/

Each command explains itself: lodisc COMMAND --help
"""


class Command(Protocol):
    """What a module of `lodisc.commands` offers."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments of the subcommand."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return the exit code."""


def load_command(name: str) -> Command:
    """Import the module of one subcommand."""
    return cast(Command, importlib.import_module(f"lodisc.commands.{name.replace('-', '_')}_command"))


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """The root parser; only the chosen subcommand is imported and has its arguments declared."""
    parser = Parser(
        prog="lodisc",
        description="Fine-grained image retrieval: train, export, index, serve.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, help_line in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=help_line, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == chosen:
            command = load_command(name)
            subparser.description = command.HELP
            command.add_arguments(subparser)
            subparser.set_defaults(handler=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = next((argument for argument in arguments if not argument.startswith("-")), None)
    try:
        parser = build_parser(chosen)
        args = parser.parse_args(arguments)
        if args.version:
            importlib.import_module("lodisc.version").show()
            return 0
        if args.command is None:
            parser.print_help()
            return 2
        return int(args.handler(args))
    except LodiscError as error:
        sys.stderr.write(f"lodisc: error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except ImportError as error:
        if not _came_of_interrupt(error):
            raise
        return _interrupted()
    except BrokenPipeError:
        # The reader went away (`lodisc ... | head`): nothing is wrong, and Python must not complain at exit.
        sys.stderr.close()
        return 0


def _interrupted() -> int:
    sys.stderr.write("lodisc: interrupted\n")
    return 130


def _came_of_interrupt(error: BaseException) -> bool:
    """Whether Ctrl-C came while a compiled module was imported: that makes an ImportError of it."""
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, KeyboardInterrupt):
        reason = reason.__cause__ or reason.__context__
    return reason is not None
