"""The page for people and the page of the API: fixed files, read once, served from memory.

A request can name only what stands in `FILES`; no path from a request reaches the file system.
"""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from encoder.errors import NotFoundError
from service.conditional import respond

PAGE_DIR = Path(__file__).parent / "page"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
FILES = {path.name: TYPES[path.suffix] for path in sorted(PAGE_DIR.iterdir()) if path.suffix in TYPES}
_CONTENT = {name: (PAGE_DIR / name).read_bytes() for name in (*FILES, "index.html", "docs.html")}


async def page(request: Request) -> Response:
    """GET /: the page for people."""
    return respond(request, _CONTENT["index.html"], "text/html; charset=utf-8")


async def docs(request: Request) -> Response:
    """GET /docs: the page of the API."""
    return respond(request, _CONTENT["docs.html"], "text/html; charset=utf-8")


async def page_file(request: Request) -> Response:
    """GET /page/{name}: what those two load."""
    name = request.path_params["name"]
    if name not in FILES:
        raise NotFoundError(f"the page has no file {name!a}; it has {', '.join(FILES)}")
    return respond(request, _CONTENT[name], FILES[name])
