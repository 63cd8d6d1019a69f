"""The search page of a server with keys: it asks for one, keeps it in the tab, and sends it for the pictures too."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_findings import serious_findings
from live_server import LiveServer, serving
from playwright.sync_api import Browser, Page, expect
from served_catalogue import build_served_catalogue
from watched_page import picture_file, watched_page

from service.key_file import KEYS_NAME, add_key, new_key

UNKNOWN_KEY = f"lodisc_{'0' * 12}_{'A' * 43}"


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    return build_served_catalogue(tmp_path_factory.mktemp("served"), tiny_bundle)


@pytest.fixture(scope="module")
def key(catalogue: Path) -> str:
    command = [sys.executable, "-m", "lodisc", "key", "create", str(catalogue)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def server(catalogue: Path, key: str) -> Iterator[LiveServer]:
    with serving(catalogue, catalogue.parent / "log.txt") as running:
        yield running
        assert "Traceback" not in running.log()
        assert key.split("_", 2)[2] not in running.log()


@pytest.fixture
def page(browser: Browser, server: LiveServer) -> Iterator[Page]:
    with watched_page(browser, server.url, refusals=(401,)) as opened:
        yield opened


def test_a_key_is_asked_for_and_opens_everything(page: Page, key: str) -> None:
    expect(page.get_by_label("This server asks for a key")).to_be_focused()
    expect(page.get_by_role("alert")).to_be_hidden()
    page.get_by_label("This server asks for a key").fill("a word")
    page.get_by_role("button", name="Use it").click()  # the browser says what is wrong, nothing is sent
    expect(page.locator("#facts")).to_have_text("")
    page.get_by_label("This server asks for a key").fill(UNKNOWN_KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("no key of this server")
    page.get_by_label("This server asks for a key").fill(f"  {key} ")
    page.keyboard.press("Enter")
    expect(page.locator("#facts")).to_contain_text("16 pictures")
    expect(page.locator("#key-form")).to_be_hidden()
    expect(page.get_by_role("alert")).to_be_hidden()
    page.set_input_files("#files", files=[picture_file()])
    cards = page.locator(".card")
    expect(cards).to_have_count(12)
    expect(page.locator("#name")).to_have_text("lime")
    for card in cards.all():
        picture = card.locator("img")
        expect(picture).to_have_attribute("src", re.compile("^blob:"))
        picture.scroll_into_view_if_needed()
        picture.evaluate("image => image.decode()")
        assert picture.evaluate("image => image.naturalWidth") > 0


def test_a_key_is_kept_in_its_tab_until_it_is_forgotten(page: Page, key: str) -> None:
    page.get_by_label("This server asks for a key").fill(key)
    page.keyboard.press("Enter")
    expect(page.locator("#facts")).to_contain_text("16 pictures")
    assert key not in page.url
    page.reload()
    expect(page.locator("#facts")).to_contain_text("16 pictures")
    page.evaluate("location.hash = 'item=Viridis%2Flime%2F0.png'")
    expect(page.locator("#shots img")).to_have_attribute("src", re.compile("^blob:"))
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_label("This server asks for a key")).to_be_visible()
    expect(page.locator("#facts")).to_have_text("")


def test_a_yes_is_asked_for_only_of_who_may_write(page: Page, catalogue: Path, key: str) -> None:
    text, kept = new_key("writer", "write")
    add_key(catalogue / KEYS_NAME, kept)
    for one, may_write in ((key, False), (text, True)):
        page.get_by_label("This server asks for a key").fill(one)
        page.keyboard.press("Enter")
        expect(page.locator("#facts")).to_contain_text("16 pictures")
        page.set_input_files("#files", files=[picture_file()])
        expect(page.locator(".card")).to_have_count(12)
        expect(page.locator("#feedback")).to_be_visible(visible=may_write)
        page.get_by_role("button", name="Forget the key").click()


def test_the_form_fits_a_narrow_screen(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 700})
    expect(page.get_by_label("This server asks for a key")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_nothing_serious_against_the_form(browser: Browser, server: LiveServer, scheme: str) -> None:
    options = {"bypass_csp": True, "color_scheme": scheme, "reduced_motion": "reduce"}
    with watched_page(browser, server.url, refusals=(401,), **options) as page:
        expect(page.get_by_label("This server asks for a key")).to_be_focused()
        assert serious_findings(page) == []
        page.get_by_label("This server asks for a key").fill(UNKNOWN_KEY)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("no key of this server")
        assert serious_findings(page) == []
