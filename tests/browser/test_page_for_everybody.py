"""The page by keyboard alone, on a narrow screen, and as axe-core judges it, in both colour schemes."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_findings import serious_findings
from live_server import LiveServer
from playwright.sync_api import Browser, FileChooser, Page, expect
from watched_page import BROKEN_FILE, picture_file, watched_page

NARROW: Any = {"width": 360, "height": 640}
LONG_NAME = "a-very-long-file-name-" * 6 + ".png"
LONG_FILTER = f'genus == "Rubra" or id in ("{"x" * 200}")'
# Where the focus is and whether it shows: on the element, or on what stands for it.
FOCUS = """() => {
    const element = document.activeElement;
    const shown = element.id === 'files' ? document.getElementById('choose')
        : element.id === 'results' ? document.getElementById('results-title') : element;
    const style = getComputedStyle(shown);
    const box = shown.getBoundingClientRect();
    return {
        name: element.id || element.dataset.id || element.textContent.trim(),
        ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
        inView: box.width > 0 && box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight,
    };
}"""


def focused(page: Page) -> str:
    """What has the focus, which must be seen to have it."""
    focus = page.evaluate(FOCUS)
    assert focus["ring"], focus
    assert focus["inView"], focus
    return str(focus["name"])


def tab_to(page: Page, name: str) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if focused(page) == name:
            return
    raise AssertionError(f"the focus never came to {name}")


def test_the_focus_goes_through_the_page_in_reading_order_and_is_always_seen(page: Page) -> None:
    stops = []
    expect(page.locator(".facet")).to_have_count(2)
    for _ in range(14):
        page.keyboard.press("Tab")
        stops.append(focused(page))
    assert stops == [
        "Skip to the matches", "lodisc", "history-open", "keys-open", "theme", "API", "files", "camera",
        "filters-summary", "labels-1-field", "labels-2-field", "filter", "Apply", "k",
    ]  # fmt: skip


def chosen_by_space(page: Page) -> FileChooser:
    """What Space opens on the field of files."""
    with page.expect_file_chooser() as chooser:
        page.evaluate("null")  # the chooser is caught only once this has come back; a key would be faster than that
        page.keyboard.press("Space")
    return chooser.value


def test_everything_by_keyboard_alone(page: Page) -> None:
    tab_to(page, "files")
    chosen_by_space(page).set_files([picture_file()])
    cards = page.locator(".card")
    expect(cards).to_have_count(12)
    tab_to(page, "filter")
    page.keyboard.type('genus != "Viridis"')
    page.keyboard.press("Enter")
    expect(cards.first).not_to_contain_text("Viridis")
    tab_to(page, "k")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#k")).to_have_value("24")
    expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")  # its answer makes the cards anew
    for key in ("Enter", "Space"):
        item = str(cards.first.get_attribute("data-id"))
        tab_to(page, item)
        page.keyboard.press(key)
        expect(page.locator("#shots figcaption")).to_have_text(item)
        expect(page.locator(f'.card[data-id="{item}"]')).to_have_count(0)
        assert focused(page) == "results"
    page.keyboard.press("Shift+Tab")
    assert focused(page) == "Apply"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.press("Delete")
    tab_to(page, "Apply")
    page.keyboard.press("Space")
    expect(cards).to_have_count(15)


def test_the_first_link_skips_to_the_matches(page: Page) -> None:
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert focused(page) == "results"


def start(page: Page) -> None:
    expect(page.locator("#facts")).to_contain_text("16 pictures")


def results(page: Page) -> None:
    page.set_input_files("#files", files=[picture_file(LONG_NAME), BROKEN_FILE])
    expect(page.locator(".card")).to_have_count(12)
    expect(page.locator("#answer")).to_be_visible()


def refused_filter(page: Page) -> None:
    page.evaluate("document.getElementById('filters').open = true")  # on a narrow screen it is closed
    page.get_by_label("Search only among").fill(f"{LONG_FILTER} and")
    page.set_input_files("#files", files=[picture_file()])
    expect(page.locator("#filter-problem")).to_be_visible()


def refused_picture(page: Page) -> None:
    page.set_input_files("#files", files=[BROKEN_FILE])
    expect(page.locator("#problem")).to_be_visible()


def api(page: Page) -> None:
    page.goto(f"{page.url}docs")
    page.locator(".operation summary").nth(4).click()


STATES = pytest.mark.parametrize(
    ("state", "refusals"),
    [(start, ()), (results, ()), (refused_filter, (400,)), (refused_picture, (422,)), (api, ())],
)


@STATES
def test_nothing_sticks_out_of_a_narrow_screen(
    browser: Browser, server: LiveServer, state: Callable[[Page], None], refusals: tuple[int, ...]
) -> None:
    with watched_page(browser, server.url, refusals=refusals, viewport=NARROW) as page:
        page.wait_for_load_state("networkidle")
        state(page)
        assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]
        outside = """width => [...document.querySelectorAll('main *')].filter((element) => {
            const box = element.getBoundingClientRect();
            return !element.closest('.visually-hidden, pre') && box.width > 0 && (box.left < 0 || box.right > width);
        }).map((element) => element.outerHTML.slice(0, 80))"""
        assert page.evaluate(outside, NARROW["width"]) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@STATES
def test_axe_has_no_serious_finding(
    browser: Browser, server: LiveServer, state: Callable[[Page], None], refusals: tuple[int, ...], scheme: str
) -> None:
    # The page's policy keeps axe out as it would any script from elsewhere, so here, and only here, it is bypassed.
    options = {"bypass_csp": True, "color_scheme": scheme, "reduced_motion": "reduce"}
    with watched_page(browser, server.url, refusals=refusals, **options) as page:
        state(page)
        assert serious_findings(page) == []


def test_axe_finds_what_is_put_before_it(browser: Browser, server: LiveServer) -> None:
    with watched_page(browser, server.url, bypass_csp=True) as page:
        page.evaluate("""() => {
            document.querySelector('#filter-form label').remove();
            document.querySelector('.hint').style.color = '#bbb';
        }""")
        assert {rule for rule, _ in serious_findings(page)} >= {"color-contrast", "label"}
