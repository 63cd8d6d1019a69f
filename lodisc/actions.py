"""A subcommand that has actions of its own, as `lodisc index build` and `lodisc bundle verify`."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    """For an action that takes nothing but its object."""


@dataclass(frozen=True)
class Action:
    """One action.

    Attributes:
        name: as it is typed.
        line: what stands beside it in the list of actions.
        help: what `--help` says, with examples.
        run: does it and returns the exit code.
        add_arguments: declares what it takes beside its object.
        add_object: declares its object, where that is another than the other actions'.
    """

    name: str
    line: str
    help: str
    run: Callable[[argparse.Namespace], int]
    add_arguments: Callable[[argparse.ArgumentParser], None] = _no_arguments
    add_object: Callable[[argparse.ArgumentParser], object] | None = None


def add_actions(
    parser: argparse.ArgumentParser, actions: Sequence[Action], add_object: Callable[[argparse.ArgumentParser], object]
) -> None:
    """Declare the actions of a subcommand, each of which first takes what `add_object` declares, or its own."""
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action in actions:
        added = subparsers.add_parser(
            action.name,
            help=action.line,
            description=action.help,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        (action.add_object or add_object)(added)
        action.add_arguments(added)
        added.set_defaults(action_handler=action.run)


def run_action(args: argparse.Namespace) -> int:
    """Do the action that was asked for."""
    code: int = args.action_handler(args)
    return code
