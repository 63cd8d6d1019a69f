"""Trouble that passes: a server that is busy is asked again, and a browser that keeps nothing will do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_server import LiveServer, serving
from playwright.sync_api import Browser, Page, expect
from served_catalogue import build_served_catalogue
from watched_page import picture_file, watched_page

from service.key_file import KEYS_NAME, add_key, new_key

BLOCKED = """for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, { get() {
    throw new DOMException('Access is denied for this document.', 'SecurityError');
} });"""


def refuse(page: Page, route: str, status: int, code: str, *, times: int) -> None:
    refusal = {"error": {"code": code, "message": f"it is {code}", "detail": None}}
    page.route(route, lambda asked: asked.fulfill(status=status, json=refusal), times=times)


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "overloaded"), (503, "not_ready"), (504, "deadline_passed"), (503, "keys_unavailable")],
)
def test_what_passes_can_be_tried_again(browser: Browser, server: LiveServer, status: int, code: str) -> None:
    with watched_page(browser, server.url, refusals=(status,)) as page:
        refuse(page, "**/search?*", status, code, times=1)
        page.set_input_files("#files", files=[picture_file()])
        expect(page.get_by_role("alert")).to_contain_text(f"it is {code}")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".card")).to_have_count(12)
        expect(page.get_by_role("alert")).to_be_hidden()


def test_a_filter_that_was_only_tried_is_tried_again(browser: Browser, server: LiveServer) -> None:
    with watched_page(browser, server.url, refusals=(503,)) as page:
        refuse(page, "**/items?*", 503, "not_ready", times=1)
        page.get_by_label("Search only among").fill('genus == "Rubra"')
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#empty")).to_have_text("The filter is set: choose a picture.")


@pytest.mark.parametrize("way", ["a search", "the button"])
def test_what_was_not_there_when_the_page_was_opened_comes_later(
    browser: Browser, server: LiveServer, way: str
) -> None:
    with watched_page(browser, server.url, refusals=(503,)) as page:
        refuse(page, "**/stats", 503, "not_ready", times=1)
        page.reload()
        expect(page.get_by_role("alert")).to_contain_text("it is not_ready")
        expect(page.locator("#facts")).to_have_text("")
        if way == "a search":
            page.set_input_files("#files", files=[picture_file()])
            expect(page.locator(".card")).to_have_count(12)
        else:
            page.get_by_role("button", name="Try again").click()
        expect(page.locator("#facts")).to_contain_text("16 pictures")
        expect(page.locator(".facet")).to_have_count(2)
        expect(page.get_by_role("alert")).to_be_hidden()


def test_the_page_works_where_the_browser_keeps_nothing(browser: Browser, server: LiveServer) -> None:
    with watched_page(browser, server.url) as page:
        page.add_init_script(BLOCKED)
        page.reload()
        page.set_input_files("#files", files=[picture_file()])
        expect(page.locator(".card")).to_have_count(12)
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        light = page.evaluate(ground)
        page.get_by_role("button", name="Light or dark").click()
        assert page.evaluate(ground) != light
        page.get_by_role("button", name="Keyboard short cuts").click()
        page.get_by_label("Short cuts of one key are on").uncheck()
        page.keyboard.press("Escape")
        page.keyboard.press("h")
        expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.fixture(scope="module")
def server_with_keys(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[tuple[LiveServer, str]]:
    catalogue = build_served_catalogue(tmp_path_factory.mktemp("served"), tiny_bundle)
    key, kept = new_key("reader", "read")
    add_key(catalogue / KEYS_NAME, kept)
    with serving(catalogue, catalogue.parent / "log.txt") as running:
        yield running, key


def test_a_key_does_until_the_page_is_left_where_the_browser_keeps_nothing(
    browser: Browser, server_with_keys: tuple[LiveServer, str]
) -> None:
    server, key = server_with_keys
    with watched_page(browser, server.url, refusals=(401,)) as page:
        page.add_init_script(BLOCKED)
        page.reload()
        page.get_by_label("This server asks for a key").fill(key)
        page.keyboard.press("Enter")
        expect(page.locator("#facts")).to_contain_text("16 pictures")
        page.reload()
        expect(page.get_by_label("This server asks for a key")).to_be_visible()
        expect(page.locator("#facts")).to_have_text("")
