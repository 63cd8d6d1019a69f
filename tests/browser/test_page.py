"""The search page in headless Chromium: what a person does, and that nothing comes from elsewhere."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_server import LiveServer, serving
from playwright.sync_api import Browser, Page, expect, sync_playwright
from served_catalogue import COLOURS, build_served_catalogue, drawn_picture, encoded

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed; run scripts/install-debian-packages.sh"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("served")
    catalogue = build_served_catalogue(folder, tiny_bundle)
    with serving(catalogue, folder / "log.txt") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: LiveServer) -> Iterator[Page]:
    """The page, just opened; afterwards: no console error but failed searches, no request to another host."""
    complaints: list[str] = []
    elsewhere: list[str] = []
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda sent: None if sent.url.startswith((server.url, "blob:")) else elsewhere.append(sent.url),
    )
    page.goto(server.url)
    yield page
    context.close()
    # Chromium itself writes a line for each answer that is no 2xx; a refused picture is one.
    assert [text for text in complaints if "status of 422" not in text] == []
    assert elsewhere == []


def picture_file(name: str = "lime.png", colour: str = "Viridis/lime") -> dict[str, object]:
    return {"name": name, "mimeType": "image/png", "buffer": encoded(drawn_picture(COLOURS[colour], 50))}


def test_a_picture_is_chosen_and_answered(page: Page) -> None:
    expect(page.locator("#facts")).to_contain_text("16 pictures")
    expect(page.locator("#note")).to_contain_text("trained on")
    page.set_input_files("#files", files=[picture_file()])  # type: ignore[arg-type]
    cards = page.locator(".card")
    expect(cards).to_have_count(12)
    expect(page.locator("#name")).to_have_text("lime")
    expect(page.locator("#share-text")).to_contain_text("%")
    expect(cards.first).to_contain_text("lime")
    expect(cards.first).to_contain_text("Viridis")
    expect(page.get_by_alt_text("Your picture lime.png")).to_be_visible()
    picture = cards.first.locator("img")
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("image => image.naturalWidth") > 0
    page.select_option("#k", "24")
    expect(cards).to_have_count(16)


def test_searching_on_from_a_card_and_back(page: Page) -> None:
    page.set_input_files("#files", files=[picture_file()])  # type: ignore[arg-type]
    first = page.locator(".card").first
    item = first.get_attribute("data-id")
    first.click()
    expect(page.locator("#shots figcaption")).to_have_text(str(item))
    expect(page.locator(f'.card[data-id="{item}"]')).to_have_count(0)
    assert "#item=" in page.url
    second = page.locator(".card").nth(1)
    other = second.get_attribute("data-id")
    second.click()
    expect(page.locator("#shots figcaption")).to_have_text(str(other))
    page.go_back()
    expect(page.locator("#shots figcaption")).to_have_text(str(item))
    page.reload()
    expect(page.locator("#shots figcaption")).to_have_text(str(item))


def test_by_keyboard_alone(page: Page) -> None:
    page.set_input_files("#files", files=[picture_file()])  # type: ignore[arg-type]
    expect(page.locator(".card")).to_have_count(12)
    page.keyboard.press("Tab")
    for _ in range(12):
        if page.evaluate("document.activeElement.classList.contains('card')"):
            break
        page.keyboard.press("Tab")
    item = page.evaluate("document.activeElement.dataset.id")
    assert item
    page.keyboard.press("Enter")
    expect(page.locator("#shots figcaption")).to_have_text(item)


def test_dropping_and_pasting(page: Page) -> None:
    make = """async (kind) => {
        const bytes = await (await fetch('/items/Viridis/lime/0.png/thumbnail')).arrayBuffer();
        const data = new DataTransfer();
        data.items.add(new File([bytes], `${kind}.webp`, { type: 'image/webp' }));
        const event = kind === 'drop'
            ? new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true });
        document.body.dispatchEvent(event);
    }"""
    for kind in ("drop", "paste"):
        page.evaluate(make, kind)
        expect(page.locator("#shots figcaption")).to_have_text(f"{kind}.webp")
        expect(page.locator("#name")).to_have_text("lime")


def test_what_is_wrong_is_said(page: Page) -> None:
    broken = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    page.set_input_files("#files", files=[broken])  # type: ignore[list-item]
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#shots .bad")).to_have_count(1)
    expect(page.locator(".card")).to_have_count(0)
    page.set_input_files("#files", files=[picture_file(), broken])  # type: ignore[list-item]
    expect(page.locator(".card")).to_have_count(12)
    expect(page.locator("#shots .bad figcaption")).to_contain_text("notes.txt")
    expect(page.locator("#problem")).to_be_hidden()


def test_on_a_narrow_screen_nothing_sticks_out(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 700})
    page.set_input_files("#files", files=[picture_file("a-very-long-file-name-" * 6 + ".png")])  # type: ignore[arg-type]
    expect(page.locator(".card")).to_have_count(12)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_every_control_has_a_name(page: Page) -> None:
    page.set_input_files("#files", files=[picture_file()])  # type: ignore[arg-type]
    expect(page.locator(".card")).to_have_count(12)
    nameless = """() => [...document.querySelectorAll('button, a, input, select')].filter((control) =>
        !(control.getAttribute('aria-label') || control.textContent.trim()
          || (control.labels && control.labels.length > 0))).length"""
    assert page.evaluate(nameless) == 0
    assert page.evaluate("[...document.images].filter((image) => !image.hasAttribute('alt')).length") == 0
    assert page.evaluate("document.querySelectorAll('h1').length") == 1


def test_the_api_page_lists_the_routes(page: Page, server: LiveServer) -> None:
    page.goto(f"{server.url}/docs")
    expect(page.locator(".operation")).to_have_count(14)
    page.locator(".operation summary").first.click()
    expect(page.locator(".operation").first).to_contain_text("curl -F images=@picture.jpg")
