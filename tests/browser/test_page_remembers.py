"""What the page keeps in the browser: the last questions, few and small, the theme, and whether short cuts are on."""

from playwright.sync_api import Page, expect
from search_answers import answer, prediction, put_before
from watched_page import picture_file

KEPT = """async () => {
    const { keptQuestions } = await import('/page/history-store.js');
    return (await keptQuestions()).map(({ pictures, label, itemId }) =>
        ({ bytes: pictures.map((blob) => blob.size), types: pictures.map((blob) => blob.type), label, itemId }));
}"""


def test_questions_are_kept_small_and_asked_again(page: Page) -> None:
    page.set_input_files("#files", files=[picture_file("a.png"), picture_file("b.png")])
    expect(page.locator("#name")).to_have_text("lime")
    page.select_option("#k", "24")  # the same question again
    expect(page.locator(".card")).to_have_count(16)
    first = page.locator(".card").first
    item_id = first.get_attribute("data-id")
    first.click()
    expect(page.locator("#shots figcaption")).to_have_text(item_id)
    expect(page.locator(".card")).to_have_count(15)
    page.reload()
    expect(page.locator(".card")).to_have_count(12)
    page.get_by_role("button", name="History").click()
    dialog = page.get_by_role("dialog", name="Asked lately")
    expect(dialog.locator(".entry-when").last).to_contain_text("2 pictures")
    item, pictures = page.evaluate(KEPT)[-2:]
    assert (item["itemId"], item["bytes"]) == (item_id, [])
    assert (pictures["label"], pictures["types"]) == ("lime", ["image/webp"] * 2)
    assert max(pictures["bytes"]) < 20_000
    dialog.locator(".entry").last.click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#shots figcaption")).to_have_text(["earlier picture 1", "earlier picture 2"])
    expect(page.locator("#name")).to_have_text("lime")
    assert "#item=" not in page.url


def test_only_the_last_twelve_are_kept_and_all_can_be_forgotten(page: Page) -> None:
    numbered = [answer(prediction=prediction(label=f"name {number}")) for number in range(14)]
    put_before(page, *numbered)
    for number in range(14):
        page.set_input_files("#files", files=[picture_file()])
        expect(page.locator("#name")).to_have_text(f"name {number}")
    page.get_by_role("button", name="History").click()
    expect(page.locator(".entry-name")).to_have_text([f"name {number}" for number in range(13, 1, -1)])
    page.get_by_role("button", name="Clear the history").click()
    expect(page.locator(".entry")).to_have_count(0)
    expect(page.locator("#history-empty")).to_have_text("Nothing is kept any more.")
    assert page.evaluate(KEPT) == []


def test_the_theme_follows_the_system_until_another_is_chosen(page: Page) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(ground) == light
    page.reload()
    assert page.evaluate(ground) == light
    page.goto(page.url + "docs")
    assert page.evaluate(ground) == light
    page.go_back()
    page.get_by_role("button", name="Light or dark").click()  # what the system has: the page follows it again
    assert page.evaluate(ground) == dark
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) == light


def test_short_cuts_are_listed_do_what_they_say_and_can_be_switched_off(page: Page) -> None:
    put_before(page, answer())
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard short cuts")
    expect(dialog.locator("kbd")).to_have_text(["o", "a", "c", "/", "j", "k", "w", "x", "v", "h", "t", "?", "Esc"])
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    with page.expect_file_chooser() as chooser:
        page.evaluate("null")  # the chooser is caught only once this has come back; a key would be faster than that
        page.keyboard.press("o")
    chooser.value.set_files([picture_file()])
    cards = page.locator(".card")
    expect(cards).to_have_count(4)
    for key, row in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        expect(cards.nth(row)).to_be_focused()
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("v")
    expect(page.get_by_role("dialog", name="Two matches side by side")).to_be_visible()
    page.keyboard.press("h")  # nothing opens over what is open
    expect(page.get_by_role("dialog")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("w")
    expect(page.get_by_role("dialog", name="Why")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("th?")  # typed, not pressed
    expect(page.get_by_label("Search only among")).to_have_value("th?")
    page.get_by_role("button", name="Keyboard short cuts").click()
    page.get_by_label("Short cuts of one key are on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("h")
    expect(page.get_by_role("dialog")).to_have_count(0)
