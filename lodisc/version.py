"""The version of the installed project."""

import sys
from importlib.metadata import version


def show() -> None:
    """Print the version, as `lodisc --version` does."""
    sys.stdout.write(f"lodisc {version('lodisc')}\n")
