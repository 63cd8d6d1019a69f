"""`lodisc key`: the API keys of a server."""

import argparse
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from encoder.errors import CatalogueNotFoundError, ConfigError
from lodisc.actions import Action, add_actions, run_action
from service.key_file import KEYS_NAME, MAX_NAME_CHARACTERS, add_key, new_key, read_keys, revoke_keys
from service.scopes import READ, SCOPES

HELP = """\
Make, list and revoke API keys. A catalogue without keys is served to its own machine only; as soon as there is one key,
every request needs one, in the header `Authorization: Bearer lodisc_...`. What changes here counts at once in every
running server.

examples:
  lodisc key create catalogue/ --scope read --name "the web shop"
  lodisc key list catalogue/
  lodisc key revoke catalogue/ 3f9a0c51e2b7

Each action explains itself: lodisc key ACTION --help
"""

CREATE_HELP = """\
Make a key and print it, once: only its hash is kept.

Scopes, each with those before it:
  read   /embed, /search, items, thumbnails, /stats
  write  PUT and DELETE of items
  admin  /metrics

examples:
  lodisc key create catalogue/
  lodisc key create catalogue/ --scope write --name "nightly import" --expires 90d
  lodisc key create catalogue/ --scope admin --name Prometheus > prometheus.key
  lodisc key create catalogue/ --keys /etc/lodisc/keys.json
"""

LIST_HELP = """\
List the keys, revoked and expired ones as well. The keys themselves are not kept, only their ids and hashes.

examples:
  lodisc key list catalogue/
  lodisc key list catalogue/ --json
"""

REVOKE_HELP = """\
Revoke keys by their ids. They stay listed; a request with one of them is refused from now on.

examples:
  lodisc key revoke catalogue/ 3f9a0c51e2b7
"""


def _add_object(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("catalogue", type=Path, metavar="CATALOGUE", help="folder of the catalogue that is served")
    parser.add_argument(
        "--keys", type=Path, metavar="FILE", help=f"file of the keys (default: {KEYS_NAME} in the catalogue's folder)"
    )


def _add_create_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scope", choices=SCOPES, default=READ, help="what it may do (default: %(default)s)")
    parser.add_argument("--name", default="", help="what or whom it is for; shown by `list`")
    parser.add_argument(
        "--expires", metavar="WHEN", help="from when on it is refused: 90d, 12h or 2027-01-31 (default: never)"
    )


def _create(args: argparse.Namespace) -> int:
    if len(args.name) > MAX_NAME_CHARACTERS or not args.name.isprintable():
        raise ConfigError(f"--name is {args.name[:60]!a}, expected at most {MAX_NAME_CHARACTERS} printable characters")
    expires = expiry(args.expires, datetime.now(UTC)) if args.expires is not None else None
    text, key = new_key(args.name, args.scope, expires)
    path = _path(args)
    first = not path.exists()
    add_key(path, key)
    print(text)
    until = f", until {key.expires:%Y-%m-%d %H:%M} UTC" if key.expires is not None else ""
    sys.stderr.write(f"key {key.id}, scope {key.scope}{until}; it is shown this once, {path} keeps its hash\n")
    if first:
        sys.stderr.write("this is the first key: from now on every request needs one\n")
    return 0


def expiry(text: str, now: datetime) -> datetime:
    """When a key ends: days or hours from now, or the start of a day, UTC.

    Raises:
        ConfigError: it is none of these, or not in the future.
    """
    refusal = ConfigError(f"--expires is {text!r}, expected a time to come such as 90d, 12h or 2027-01-31")
    span = re.fullmatch(r"([0-9]{1,5})([dh])", text)
    if span:
        end = now + (timedelta(days=int(span[1])) if span[2] == "d" else timedelta(hours=int(span[1])))
    else:
        try:
            end = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise refusal from None
    if end <= now:
        raise refusal
    return end


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON array, without the hashes")


def _list(args: argparse.Namespace) -> int:
    path, now = _path(args), datetime.now(UTC)
    keys = list(read_keys(path).values()) if path.exists() else []
    if args.json:
        rows = [{**key.document(), "state": key.state(now)} for key in keys]
        print(json.dumps([{name: row[name] for name in row if name != "sha256"} for row in rows], indent=2))
        return 0
    if not keys:
        print(f"no keys in {path}")
        return 0
    table = Table(Column("id", no_wrap=True), "name", "scope", "made", "expires", "state", box=None)
    for key in keys:
        end = f"{key.expires:%Y-%m-%d %H:%M}" if key.expires is not None else "never"
        table.add_row(key.id, key.name, key.scope, f"{key.created:%Y-%m-%d %H:%M}", end, key.state(now))
    Console(markup=False, highlight=False).print(table)
    return 0


def _add_revoke_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", metavar="ID", help="as `lodisc key list` prints it")


def _revoke(args: argparse.Namespace) -> int:
    path = _path(args)
    missing = revoke_keys(path, args.ids)
    print(f"revoked {len(args.ids) - len(missing)} of {len(args.ids)} keys")
    for key_id in missing:
        sys.stderr.write(f"no key {key_id!a} in {path}\n")
    return 1 if missing else 0


def _path(args: argparse.Namespace) -> Path:
    catalogue: Path = args.catalogue
    keys: Path | None = args.keys
    if keys is not None:
        return keys
    if not catalogue.is_dir():
        raise CatalogueNotFoundError(f"there is no catalogue at {catalogue}; `lodisc index build` makes one")
    return catalogue / KEYS_NAME


ACTIONS = (
    Action("create", "make a key and print it, once", CREATE_HELP, _create, _add_create_arguments),
    Action("list", "the keys and what became of them", LIST_HELP, _list, _add_list_arguments),
    Action("revoke", "refuse keys from now on", REVOKE_HELP, _revoke, _add_revoke_arguments),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their arguments."""
    add_actions(parser, ACTIONS, _add_object)


run = run_action
