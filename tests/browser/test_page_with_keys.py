"""The search page of a server with keys: it asks for one, keeps it in the tab, and sends it for the pictures too."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_server import LiveServer, serving
from playwright.sync_api import Page, expect, sync_playwright
from served_catalogue import COLOURS, build_served_catalogue, drawn_picture, encoded

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed; run scripts/install-debian-packages.sh"
)
PICTURE = {"name": "lime.png", "mimeType": "image/png", "buffer": encoded(drawn_picture(COLOURS["Viridis/lime"], 50))}
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
def page(server: LiveServer) -> Iterator[Page]:
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(server.url)
        yield page
        browser.close()
    # Chromium itself writes a line for each answer that is no 2xx, as for a request without a key.
    assert [text for text in complaints if "status of 401" not in text] == []


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
    page.set_input_files("#files", files=[PICTURE])  # type: ignore[list-item]
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


def test_the_form_fits_a_narrow_screen(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 700})
    expect(page.get_by_label("This server asks for a key")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
