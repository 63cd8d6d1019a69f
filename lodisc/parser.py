"""The argument parser of `lodisc`: names the choice that was probably meant, and takes options in any place."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import Any


class Parser(argparse.ArgumentParser):
    """An argument parser; its subcommands are of this kind too."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and return what is not known too.

        argparse fills positional arguments up as soon as it meets the first of them. Where their number is open it
        then finds none for what stands behind an option, so there the options are taken out first.
        """
        given = list(sys.argv[1:] if args is None else args)
        if not any(action.nargs in ("?", "*", "+") for action in self._get_positional_actions()):
            return super().parse_known_args(given, namespace)
        end = given.index("--") if "--" in given else len(given)
        namespace, beside = self._parse_options(given[:end], namespace)
        return self._parse_positionals(beside + given[end:], namespace)

    def _parse_options(self, given: Sequence[str], namespace: Any) -> Any:
        """Parse the options alone, with a usage line that names everything all the same."""
        actions, usage = self._actions, self.usage
        self.usage = self.format_usage().removeprefix("usage: ").rstrip("\n").replace("%", "%%")
        self._actions = self._get_optional_actions()
        try:
            return super().parse_known_args(given, namespace)
        finally:
            self._actions, self.usage = actions, usage

    def _parse_positionals(self, given: Sequence[str], namespace: Any) -> Any:
        """Parse what is left, after it was seen that no option is missing."""
        required = [action for action in self._get_optional_actions() if action.required]
        for action in required:
            action.required = False
        try:
            return super().parse_known_args(given, namespace)
        finally:
            for action in required:
                action.required = True

    def _check_value(self, action: argparse.Action, value: object) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            near = difflib.get_close_matches(str(value), [str(choice) for choice in action.choices or ()], n=1)
            if near:
                raise argparse.ArgumentError(action, f"{error.message}; did you mean {near[0]}?") from error
            raise
