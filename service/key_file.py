"""The file of API keys: what a key is, how the file is read, changed and written.

A key is `lodisc_ID_SECRET`: 12 hexadecimal digits that name it, which may be shown, and 256 random bits that are shown
once, when it is made. The file keeps the SHA-256 of the whole key. A slow hash is for passwords, which can be guessed;
nobody guesses 256 bits.

Guarantees: two commands that change the file at once both take effect; a reader sees the file before a change or after
it, also after a loss of power; revoked keys stay listed. Only the owner may read the file.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from encoder.errors import LodiscError
from service.scopes import SCOPES

KEYS_NAME = "keys.json"
VERSION = 1
KEY_PATTERN = re.compile(r"lodisc_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
MAX_NAME_CHARACTERS = 200


class KeyFileError(LodiscError):
    """The file of keys is damaged, gone, or cannot be read or written."""

    code, status, exit_code = "keys_unavailable", 503, 2


@dataclass(frozen=True, kw_only=True)
class Key:
    """What is kept of a key.

    Attributes:
        id: 12 hexadecimal digits.
        name: what its maker calls it.
        scope: one of SCOPES.
        sha256: of the whole key, hexadecimal.
        created: when, UTC.
        expires: from when on it is refused; None for never.
        revoked: when it was revoked; None if it was not.
    """

    id: str
    name: str
    scope: str
    sha256: str
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def state(self, now: datetime) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and now >= self.expires else "active"

    def document(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {
            name: f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }


def new_key(name: str, scope: str, expires: datetime | None = None) -> tuple[str, Key]:
    """Draw a key: itself, to be shown once, and what is kept of it."""
    key_id = secrets.token_hex(6)
    text = f"lodisc_{key_id}_{secrets.token_urlsafe(32)}"
    kept = Key(id=key_id, name=name, scope=scope, sha256=sha256_of(text), created=datetime.now(UTC), expires=expires)
    return text, kept


def sha256_of(text: str) -> str:
    """What is kept of a key, and what a key that is sent is compared by."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def read_keys(path: Path) -> dict[str, Key]:
    """The keys of a file by id, in the order in which they were made.

    Raises:
        KeyFileError: it is not there, cannot be read, or is damaged.
    """
    try:
        return parse_keys(path.read_bytes(), path)
    except OSError as error:
        raise KeyFileError(f"the file of keys {path} cannot be read: {error.strerror or error}") from error


def parse_keys(content: bytes, path: Path) -> dict[str, Key]:
    """The keys in the bytes of a file; `path` is for the message.

    Raises:
        KeyFileError: it is damaged. A file that is half right is wrong: what is missing may be a revocation.
    """
    try:
        keys = _keys(json.loads(content))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise KeyFileError(
            f"the file of keys {path} is damaged ({error}); put back a copy, or delete it and make new keys"
        ) from error
    return {key.id: key for key in keys}


def _keys(document: dict[str, Any]) -> list[Key]:
    if document["version"] != VERSION:
        raise ValueError(f"version {document['version']!r}, expected {VERSION}")
    if not isinstance(document["keys"], list):
        raise TypeError("`keys` is no array")
    keys = [_key(entry) for entry in document["keys"]]
    if len({key.id for key in keys}) < len(keys):
        raise ValueError("one id twice")
    return keys


def _key(entry: dict[str, Any]) -> Key:
    texts = {name: entry[name] for name in ("id", "name", "scope", "sha256")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("a field of a key is no text")
    if texts["scope"] not in SCOPES or not re.fullmatch("[0-9a-f]{64}", texts["sha256"]):
        raise ValueError(f"key {texts['id'][:12]!a} has no scope or no hash")
    expires, revoked = (None if entry[name] is None else _moment(entry[name]) for name in ("expires", "revoked"))
    return Key(**texts, created=_moment(entry["created"]), expires=expires, revoked=revoked)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!a} has no time zone")
    return moment


def add_key(path: Path, key: Key) -> None:
    """Put one key more into the file, which is made if it is not there.

    Raises:
        KeyFileError: the file is damaged, or cannot be written.
    """
    with _changing(path) as keys:
        keys[key.id] = key


def revoke_keys(path: Path, ids: list[str]) -> list[str]:
    """Revoke keys by their ids and return the ids that there are none of; a revoked key keeps its first date.

    Raises:
        KeyFileError: the file is not there, is damaged, or cannot be written.
    """
    read_keys(path)  # so that revoking makes no file
    with _changing(path) as keys:
        for key_id in ids:
            if key_id in keys and keys[key_id].revoked is None:
                keys[key_id] = replace(keys[key_id], revoked=datetime.now(UTC))
        return [key_id for key_id in ids if key_id not in keys]


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, Key]]:
    """The keys of the file, alone; what the block makes of them is written at its end."""
    try:
        # A file of its own is locked: the file of keys is another one after each change.
        with path.with_name(f"{path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = read_keys(path) if path.exists() else {}
            yield keys
            _write(path, keys)
    except OSError as error:
        raise KeyFileError(f"the file of keys {path} cannot be written: {error.strerror or error}") from error


def _write(path: Path, keys: dict[str, Key]) -> None:
    document = {"version": VERSION, "keys": [key.document() for key in keys.values()]}
    descriptor, fresh = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        Path(fresh).replace(path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
