"""The search page in headless Chromium: what a person does, and that nothing comes from elsewhere."""

from live_server import LiveServer
from playwright.sync_api import Browser, Page, expect
from watched_page import BROKEN_FILE, picture_file, watched_page

from service.openapi import description


def test_a_picture_is_chosen_and_answered(page: Page) -> None:
    expect(page.locator("#facts")).to_contain_text("16 pictures")
    expect(page.locator("#note")).to_contain_text("This encoder knows nothing; ")
    page.set_input_files("#files", files=[picture_file()])
    cards = page.locator(".card")
    expect(cards).to_have_count(12)
    expect(page.locator("#name")).to_have_text("lime")
    expect(page.locator("#share-text")).to_contain_text("A share, not a probability")
    expect(cards.first).to_contain_text("lime")
    expect(cards.first).to_contain_text("Viridis")
    expect(page.get_by_alt_text("Your picture lime.png")).to_be_visible()
    picture = cards.first.locator("img")
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("image => image.naturalWidth") > 0
    page.select_option("#k", "24")
    expect(cards).to_have_count(16)


def test_searching_on_from_a_card_and_back(page: Page) -> None:
    page.set_input_files("#files", files=[picture_file()])
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


def test_what_is_wrong_with_a_picture_is_said(browser: Browser, server: LiveServer) -> None:
    with watched_page(browser, server.url, refusals=(422,)) as page:
        page.set_input_files("#files", files=[BROKEN_FILE])
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.locator("#shots .bad")).to_have_count(1)
        expect(page.locator(".card")).to_have_count(0)
        page.set_input_files("#files", files=[picture_file(), BROKEN_FILE])
        expect(page.locator(".card")).to_have_count(12)
        expect(page.locator("#shots .bad figcaption")).to_contain_text("notes.txt")
        expect(page.locator("#problem")).to_be_hidden()


def test_the_api_page_lists_the_routes(page: Page, server: LiveServer) -> None:
    page.goto(f"{server.url}/docs")
    operations = [operation for methods in description()["paths"].values() for operation in methods.values()]
    expect(page.locator(".operation .what")).to_have_text([operation["summary"] for operation in operations])
    page.locator(".operation summary").first.click()
    expect(page.locator(".operation").first).to_contain_text("curl -F images=@picture.jpg")
