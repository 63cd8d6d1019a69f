"""What pymilvus raises, as errors of ours that say what to do, in one line and without the token."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from pymilvus.exceptions import MilvusException

from encoder.errors import CatalogueBusyError, CatalogueError, CatalogueNotFoundError
from index.milvus.address import MilvusAddress

_NO_COLLECTION = 100
_REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_WORDS_OF_REFUSAL = ("auth check", "authenticat", "unauthorized", "permission", "privilege")


@contextmanager
def milvus_faults(address: MilvusAddress) -> Iterator[None]:
    """Raise pymilvus's errors within the block as ours.

    Raises:
        CatalogueNotFoundError: there is no such collection.
        CatalogueBusyError: another process has the embedded store open.
        CatalogueError: the server cannot be reached, refuses the token, took too long, or refuses the call.
    """
    try:
        yield
    except (MilvusException, grpc.RpcError, OSError) as error:
        raise _told(address, error) from error


def _told(address: MilvusAddress, error: Exception) -> CatalogueError:
    message = " ".join(str(getattr(error, "message", None) or error).split())[:300]
    lowered = message.lower()
    if "open local milvus failed" in lowered:
        return CatalogueBusyError(
            f"{address.text} cannot be opened: it is open in another process, and an embedded store takes one at a "
            "time (close that one, or use a server: milvus://HOST:PORT/NAME), or its folder cannot be made there"
        )
    if getattr(error, "code", None) == _NO_COLLECTION or "can't find collection" in lowered:
        return CatalogueNotFoundError(
            f"there is no collection at {address.text} any more; fill it anew: "
            f"lodisc index build CATALOGUE --images SOURCE --bundle BUNDLE --store {address.text} --fresh"
        )
    if _is_refused(error) or any(word in lowered for word in _WORDS_OF_REFUSAL):
        return CatalogueError(
            f"Milvus at {address.text} refuses access; set LODISC_MILVUS_TOKEN to USER:PASSWORD or a key"
        )
    if "connect" in lowered or "unavailable" in lowered or "deadline" in lowered or "timeout" in lowered:
        return CatalogueError(
            f"Milvus at {address.text} cannot be reached in time ({message}); see that it runs, and host and port"
        )
    return CatalogueError(f"Milvus at {address.text} refused: {message}")


def _is_refused(error: BaseException | None) -> bool:
    """Whether the server refused who asks; pymilvus says then that it cannot connect, because of the true error."""
    seen: list[BaseException] = []  # pymilvus has errors that are their own cause
    while error is not None and error not in seen:
        if isinstance(error, grpc.Call) and error.code() in _REFUSALS:
            return True
        seen.append(error)
        error = error.__cause__ if error.__cause__ not in (None, error) else error.__context__
    return False
