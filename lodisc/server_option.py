"""`--server URL` and `--key-file FILE` of commands that ask a running server instead of opening a catalogue.

The key is in the file, else in LODISC_API_KEY. It is no flag: what stands on a command line is seen by every process of
the machine.
"""

import argparse
import os
from pathlib import Path

from encoder.errors import ConfigError
from lodisc.client import Client

KEY_VARIABLE = "LODISC_API_KEY"


def add_server_arguments(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Declare the two flags; `purpose` is what the help says of the first."""
    parser.add_argument("--server", metavar="URL", help=purpose)
    parser.add_argument(
        "--key-file", type=Path, metavar="FILE", help=f"of the API key for --server (default: {KEY_VARIABLE})"
    )


def open_client(args: argparse.Namespace) -> Client:
    """A client of the server that was named.

    Raises:
        ConfigError: the URL, or the file of the key, is wrong.
    """
    return Client(args.server, api_key=_key(args.key_file))


def _key(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get(KEY_VARIABLE) or None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--key-file {path} cannot be read: {error}; it holds one key on one line") from error
