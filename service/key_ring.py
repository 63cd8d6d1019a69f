"""The keys of a serving process, as they are in their file at this moment.

The file is looked at for every request (one `stat`), so a key that was made or revoked counts at once in every worker,
without a restart. In doubt nobody gets in: a file that is damaged, unreadable, or gone after it was seen raises. Only
where there never was a file are there no keys.

Not covered: a process that starts after the file was deleted cannot know of it, unless the file is `required`.
"""

import hmac
import os
from datetime import UTC, datetime
from pathlib import Path

from service.key_file import KEY_PATTERN, Key, KeyFileError, parse_keys, sha256_of
from service.problems import KeyRefusedError

# What a key of an unknown id is compared with, so that the answer takes as long as for a known one.
NO_DIGEST = "0" * 64
IF_SWAPPED = (
    "if another catalogue took the place of its own, copy it there, or keep it outside of both "
    "(`lodisc serve --keys FILE`, LODISC_KEYS)"
)


class KeyRing:
    """Follows one file of keys.

    Args:
        path: of the file; None where no file can be.
        required: whether the file must be there.
    """

    def __init__(self, path: Path | None, *, required: bool) -> None:
        self._path = path
        self._required = required
        self._signature: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}

    def present(self) -> bool:
        """Whether there are keys, after looking at the file.

        Raises:
            KeyFileError: it is damaged, unreadable, or gone.
        """
        if self._path is None:
            return False
        try:
            found = self._path.stat()
            if (found.st_ino, found.st_mtime_ns, found.st_size) != self._signature:
                self._load(self._path)
        except FileNotFoundError as error:
            if self._required or self._signature is not None:
                # A file that nobody named lies in the catalogue, and goes where the link to it is pointed.
                swap = "" if self._required else f"; {IF_SWAPPED}"
                raise KeyFileError(f"the file of keys {self._path} is gone; put it back{swap}") from error
            return False
        except OSError as error:
            raise KeyFileError(f"the file of keys {self._path} cannot be read: {error.strerror or error}") from error
        return True

    def key_of(self, text: str) -> Key:
        """The key that was sent, if it is one of the file's and counts now; `present` comes first.

        Raises:
            KeyRefusedError: it does not.
        """
        form = KEY_PATTERN.fullmatch(text)
        key = self._keys.get(form[1]) if form else None
        right = hmac.compare_digest(sha256_of(text), key.sha256 if key else NO_DIGEST)
        if key is None or not right:
            raise KeyRefusedError("this is no key of this server; `lodisc key list CATALOGUE` names those that are")
        state = key.state(datetime.now(UTC))
        if state != "active":
            raise KeyRefusedError(f"the key {key.id} is {state}; `lodisc key create CATALOGUE` makes a new one")
        return key

    def _load(self, path: Path) -> None:
        with path.open("rb") as file:
            # Of the file that is read, which may not be the one that was looked at a moment ago.
            found = os.fstat(file.fileno())
            self._keys = parse_keys(file.read(), path)
        self._signature = (found.st_ino, found.st_mtime_ns, found.st_size)
