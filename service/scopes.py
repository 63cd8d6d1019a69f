"""Which scope of a key a request needs: one function, asked by the front door and by the description of the API.

A scope includes those before it. What is not listed here needs a key: a route that is added later is closed until
somebody opens it.
"""

READ, WRITE, ADMIN = SCOPES = ("read", "write", "admin")

# The pages are the same for everybody and hold nothing of the catalogue; probes have no key to send.
OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/livez", "/readyz"})
OPEN_FOLDER = "/page/"
ADMIN_PATHS = frozenset({"/metrics"})
# They change nothing: their body is the question.
ASKING_PATHS = frozenset({"/embed", "/search"})


def needed_scope(method: str, path: str) -> str | None:
    """The scope that a request needs, None where it needs no key."""
    reads = method in ("GET", "HEAD")
    if reads and (path in OPEN_PATHS or path.startswith(OPEN_FOLDER)):
        return None
    if path in ADMIN_PATHS:
        return ADMIN
    return READ if reads or (method == "POST" and path in ASKING_PATHS) else WRITE


def covers(held: str, needed: str) -> bool:
    """Whether a key of one scope may do what needs another."""
    return SCOPES.index(held) >= SCOPES.index(needed)
