"""Who asks: what requests are divided by when there are more than can be served at once."""

from starlette.requests import Request


def client_of(request: Request) -> str:
    """The key that a request came in with; where there are no keys, the address it came from.

    Behind a proxy all requests come from its address, and are one client, unless they have keys.
    """
    key_id: str | None = request.scope.get("state", {}).get("key_id")
    if key_id is not None:
        return f"key {key_id}"
    return request.client.host if request.client is not None else "unknown"
