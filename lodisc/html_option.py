"""`--html FILE` of commands that also write what they found as a page."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encoder.errors import ConfigError


def add_html_argument(parser: argparse.ArgumentParser, contents: str) -> None:
    """Declare the flag; `contents` is what the help says is on the page."""
    parser.add_argument("--html", type=Path, metavar="FILE", help=f"also write a page with {contents}")


def check_html(path: Path | None) -> None:
    """See, before the work is begun, that the page can be where it is wanted.

    Raises:
        ConfigError: there is no such folder.
    """
    if path is not None and not path.absolute().parent.is_dir():
        raise ConfigError(f"--html is {path}, but there is no folder {path.parent}; make it first")


@contextmanager
def writing_html(path: Path) -> Iterator[None]:
    """While the page is written, a disk that refuses it is a person's to mend.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
