"""One Chromium and one served catalogue for all tests of the page; every test gets a page of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_server import LiveServer, serving
from playwright.sync_api import Browser, Page, sync_playwright
from served_catalogue import build_served_catalogue
from watched_page import CHROMIUM, watched_page


# Of one file, not of the session: Playwright keeps an event loop running in this thread, and no other can be begun.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed; run scripts/install-debian-packages.sh")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                *("--no-sandbox", "--disable-background-networking"),
                *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),  # a camera that is there
            ],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("served")
    catalogue = build_served_catalogue(folder, tiny_bundle)
    with serving(catalogue, folder / "log.txt") as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: LiveServer) -> Iterator[Page]:
    """The page, just opened; afterwards: nothing on the console, and no request to another host."""
    with watched_page(browser, server.url) as opened:
        yield opened
