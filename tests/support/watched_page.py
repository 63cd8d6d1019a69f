"""A page in headless Chromium that is watched: what it writes to the console, and every host that it asks."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page
from served_catalogue import COLOURS, drawn_picture, encoded

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FAILED_REQUEST = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")

LOST_REQUEST = "Failed to load resource: net::"


@contextmanager
def watched_page(
    browser: Browser, url: str, *, refusals: tuple[int, ...] = (), lost: bool = False, **options: Any
) -> Iterator[Page]:
    """Open a page in a context of its own, and see at the end that it was clean.

    Args:
        browser: that is running.
        url: of the server, without a path.
        refusals: statuses that the test provokes; Chromium writes a line to the console for each such answer.
        lost: whether the test cuts the page off from its server, of which Chromium writes a line too.
        options: of `Browser.new_context`.
    """
    complaints: list[str] = []
    asked: list[str] = []
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
    context.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("request", lambda sent: asked.append(sent.url))
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()
    failed = [match for text in complaints if (match := FAILED_REQUEST.match(text))]
    others = [text for text in complaints if not FAILED_REQUEST.match(text)]
    assert [text for text in others if not text.startswith(LOST_REQUEST)] == []
    assert bool(others) == lost
    assert {int(match[1]) for match in failed} == set(refusals)
    assert {f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, asked) if parts.scheme != "blob"} == {url}


def picture_file(name: str = "lime.png", colour: str = "Viridis/lime", seed: int = 50) -> Any:
    """A file as `Page.set_input_files` takes it: a drawn picture that the catalogue does not have, from 50 on."""
    return {"name": name, "mimeType": "image/png", "buffer": encoded(drawn_picture(COLOURS[colour], seed))}


BROKEN_FILE: Any = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
