"""A connection to Milvus. The one place where its token is read: LODISC_MILVUS_TOKEN, USER:PASSWORD or a key."""

import logging
import os
import threading
from collections import Counter
from importlib.util import find_spec

from pymilvus import MilvusClient

from encoder.errors import MissingExtraError
from index.milvus.address import MilvusAddress
from index.milvus.faults import milvus_faults

TOKEN_VARIABLE = "LODISC_MILVUS_TOKEN"
CONNECT_TIMEOUT_S = 10.0
TIMEOUT_S = 60.0  # of one call

# pymilvus runs an embedded store as a server in threads of this process, and keeps it: it is stopped when the last
# of ours has closed it, so that another process may open it then.
_embedded_lock = threading.Lock()
_embedded: Counter[str] = Counter()


def connect(address: MilvusAddress) -> MilvusClient:
    """Connect; close it with `disconnect`.

    Raises:
        CatalogueError: it cannot be reached, or refuses the token.
        MissingExtraError: it is embedded, and milvus-lite is not installed.
    """
    if address.embedded and find_spec("milvus_lite") is None:
        raise MissingExtraError("an embedded store needs milvus-lite: pip install -e '.[milvus]'")
    # They log a traceback for every error that is also raised; ours says the same in one line.
    for name in ("pymilvus.decorators", "milvus_lite.server_manager"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    token = "" if address.embedded else os.environ.get(TOKEN_VARIABLE, "")
    with milvus_faults(address):
        if not address.embedded:
            return MilvusClient(address.uri, token=token, timeout=CONNECT_TIMEOUT_S)
        with _embedded_lock:
            client = MilvusClient(address.uri, timeout=CONNECT_TIMEOUT_S)
            _embedded[address.uri] += 1
            return client


def disconnect(client: MilvusClient, address: MilvusAddress) -> None:
    """Close a connection."""
    if not address.embedded:
        client.close()
        return
    from milvus_lite.server_manager import server_manager_instance

    with _embedded_lock:
        client.close()
        _embedded[address.uri] -= 1
        if _embedded[address.uri] == 0:
            server_manager_instance.release_server(address.uri)
