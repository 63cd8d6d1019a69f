"""Cross-origin requests (CORS) of the sites that are listed; off where none is.

A page of a listed site may ask from a browser and read the answer; it needs a key as anybody does. Cookies are never
involved: a key comes in a header. Where a site is not listed nothing is said to its browser, which then keeps the
answer from the page.
"""

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import Scope

MAX_AGE_S = 600
ALLOWED_METHODS = "GET, POST, PUT, DELETE"
ALLOWED_HEADERS = "Authorization, Content-Type, If-None-Match, X-Request-ID"
EXPOSED_HEADERS = "ETag, Retry-After, WWW-Authenticate, X-Request-ID"


def allowed_origin(scope: Scope, origins: tuple[str, ...]) -> str | None:
    """The origin of a request, if it is a listed one."""
    origin = Headers(scope=scope).get("origin")
    return origin if origin in origins else None


def preflight(scope: Scope, origin: str | None) -> Response | None:
    """The answer to a browser that asks whether it may ask; None where this is no such question of a listed site."""
    if origin is None or scope["method"] != "OPTIONS" or "access-control-request-method" not in Headers(scope=scope):
        return None
    headers: Mapping[str, str] = {
        "Access-Control-Allow-Methods": ALLOWED_METHODS,
        "Access-Control-Allow-Headers": ALLOWED_HEADERS,
        "Access-Control-Max-Age": str(MAX_AGE_S),
    }
    return Response(status_code=204, headers=headers)


def share(headers: MutableHeaders, origin: str | None) -> None:
    """Add to an answer what lets a page of the origin read it; caches keep the answers to each origin apart."""
    headers.add_vary_header("Origin")
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
