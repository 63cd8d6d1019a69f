"""Who may come in: asked for every request, before any route.

With keys, a request needs one whose scope covers what it does (`scopes.py`). Without keys the server answers only this
machine: the connection must have come in on a loopback address, and the request must name one, which a page of another
site that points its own name at 127.0.0.1 (DNS rebinding) does not. A request that a page of another site makes is
refused as well. This holds however the process was started, `lodisc serve`, `bentoml serve` or a container;
LODISC_INSECURE says that somebody else decides who may come in.
"""

import ipaddress
import logging
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from service.key_file import KEYS_NAME, Key, KeyFileError
from service.key_ring import KeyRing
from service.problems import (
    KeyMissingError,
    KeyRefusedError,
    KeysUnavailableError,
    NotLocalError,
    ScopeError,
)
from service.scopes import WRITE, covers, needed_scope
from service.settings import Settings

logger = logging.getLogger("bentoml.lodisc")

# Whether the process runs is asked by what would restart it, which mends no keys.
LIVENESS_PATH = "/livez"
HOW_TO_OPEN = (
    "make keys with `lodisc key create CATALOGUE`, or say `lodisc serve --insecure` or LODISC_INSECURE=true if "
    "everybody who reaches this server may use it"
)


class Admission:
    """The rule of one process.

    Args:
        settings: where the keys are, and whether the process may do without.
    """

    def __init__(self, settings: Settings) -> None:
        default = settings.catalogue / KEYS_NAME if settings.catalogue is not None else None
        self._ring = KeyRing(settings.keys or default, required=settings.keys is not None)
        self._insecure = settings.insecure
        self._allow_writes = settings.allow_writes
        self._cors_origins = settings.cors_origins
        self._said = ""

    def admit(self, scope: Scope) -> Key | None:
        """The key with which a request comes in, None where it needs none.

        Raises:
            KeyMissingError: it needs a key and has none, or has two.
            KeyRefusedError: its key is unknown, expired or revoked.
            ScopeError: its key may not do this.
            KeysUnavailableError: the keys cannot be read.
            NotLocalError: there are no keys, and it does not come from this machine.
        """
        if scope["path"] == LIVENESS_PATH:
            return None
        headers = Headers(scope=scope)
        if not self._keys_present():
            if not self._insecure:
                _require_local(scope, headers, self._cors_origins)
            return None
        needed = needed_scope(scope["method"], scope["path"])
        if needed is None:
            return None
        key = self._ring.key_of(_sent_key(headers))
        if not covers(key.scope, needed):
            raise ScopeError(f"the key {key.id} has the scope {key.scope}, this needs {needed}", needed=needed)
        return key

    def may_write(self, key: Key | None) -> bool:
        """Whether who came in with this key, or with none, could put an item: what a page asks before it offers to."""
        return self._allow_writes if key is None else covers(key.scope, WRITE)

    def _keys_present(self) -> bool:
        try:
            present = self._ring.present()
        except KeyFileError as error:
            if str(error) != self._said:  # once, not with every request
                logger.warning("nobody is let in: %s", error)
            self._said = str(error)
            raise KeysUnavailableError("the keys of this server cannot be read; its log says why") from error
        self._said = ""
        return present


def _sent_key(headers: Headers) -> str:
    sent = headers.getlist("authorization")
    if not sent:
        raise KeyMissingError("this server asks for a key; send it as `Authorization: Bearer lodisc_...`")
    kind, _, text = sent[0].partition(" ")
    if len(sent) > 1 or kind.lower() != "bearer":
        raise KeyRefusedError("expected one header `Authorization: Bearer lodisc_...`")
    return text.strip()


def _require_local(scope: Scope, headers: Headers, cors_origins: tuple[str, ...]) -> None:
    server = scope.get("server")
    # A Unix socket has no port; who may open it is a matter of the file system.
    if server is not None and server[1] is not None and not _is_loopback(server[0]):
        raise NotLocalError(f"this server has no keys and answers its own machine only; {HOW_TO_OPEN}")
    hosts = headers.getlist("host")
    if not all(_is_loopback(_host_name(host)) for host in hosts):
        raise NotLocalError(f"this server has no keys and answers to localhost only; {HOW_TO_OPEN}")
    for origin in headers.getlist("origin"):
        if origin not in cors_origins and origin.partition("://")[2].lower() not in (host.lower() for host in hosts):
            raise NotLocalError("this server has no keys and answers no page of another site")


def _host_name(host: str) -> str:
    """A Host header without its port; empty where it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:127.0.0.1
    return (mapped or address).is_loopback
