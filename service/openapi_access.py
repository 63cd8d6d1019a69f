"""What the description of the API says of keys: which scope each operation needs, from the rule that enforces it."""

from typing import Any

from service.scopes import needed_scope

SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": (
        "A key of `lodisc key create`: `Authorization: Bearer lodisc_...`. Scopes are read, write and admin, each with "
        "those before it. A server without keys asks for none and answers its own machine only."
    ),
}
REFUSALS = {
    "401": "no key, or one that is unknown, expired or revoked",
    "403": "the scope of the key is too small; without keys: not asked by this machine, or writes are off",
}


def describe_access(document: dict[str, Any]) -> None:
    """Add the scheme, and to each operation that needs a key its scope and the two refusals."""
    document["components"]["securitySchemes"] = {"key": SCHEME}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            scope = needed_scope(method.upper(), path)
            # No key is one of the alternatives: a server without keys asks for none.
            operation["security"] = [] if scope is None else [{"key": [scope]}, {}]
            for status, text in REFUSALS.items() if scope is not None else ():
                operation["responses"][status] = {
                    "description": text,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                }
