"""Where a catalogue in Milvus is, as a person types it.

    milvus://HOST:PORT/NAME          a server or cluster, and the collection in it
    milvus+tls://HOST:PORT/NAME      the same over TLS
    milvus-lite:FOLDER.db            embedded in this process: for trying it out, one process at a time

The token of a server is never part of it, because addresses are written to files and shown; see `index.milvus.client`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from encoder.errors import ConfigError

_SERVER = re.compile(r"milvus(\+tls)?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})/([A-Za-z_][A-Za-z0-9_]{0,200})")
_EMBEDDED = "milvus-lite:"
_EMBEDDED_COLLECTION = "catalogue"


@dataclass(frozen=True)
class MilvusAddress:
    """An address.

    Attributes:
        text: as a person would type it.
        uri: as pymilvus takes it.
        collection: the name there.
        embedded: whether it is Milvus Lite.
    """

    text: str
    uri: str
    collection: str
    embedded: bool


def parse_address(text: str) -> MilvusAddress:
    """Read an address; the folder of an embedded one is made absolute.

    Raises:
        ConfigError: it is none.
    """
    if text.startswith(_EMBEDDED) and text.endswith(".db") and len(text) > len(_EMBEDDED) + 3:
        folder = str(Path(text.removeprefix(_EMBEDDED)).absolute())
        return MilvusAddress(f"{_EMBEDDED}{folder}", folder, _EMBEDDED_COLLECTION, embedded=True)
    found = _SERVER.fullmatch(text)
    if found is None or not 1 <= int(found[3]) <= 65535:
        shown = re.sub(r"//[^/]*@", "//...@", text)  # whoever puts a password there need not see it in a log
        raise ConfigError(
            f"the store {shown!a} is no address; expected milvus://HOST:PORT/NAME, milvus+tls://HOST:PORT/NAME or "
            "milvus-lite:FOLDER.db, and the token in LODISC_MILVUS_TOKEN"
        )
    scheme = "https" if found[1] else "http"
    return MilvusAddress(text, f"{scheme}://{found[2]}:{found[3]}", found[4], embedded=False)
