"""Answers that a browser may keep: an ETag of the bytes, 304 where the client has them (RFC 9110, 13.1.2)."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response


def respond(request: Request, content: bytes, media_type: str) -> Response:
    """The content, or 304 Not Modified where `If-None-Match` names it.

    The client may keep a copy but asks each time whether it is still right.
    """
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if _names(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def _names(if_none_match: str, etag: str) -> bool:
    """Whether the header lists the ETag; weak and strong compare alike for GET."""
    candidates = [candidate.strip() for candidate in if_none_match.split(",")]
    return "*" in candidates or any(candidate.removeprefix("W/") == etag for candidate in candidates)
