"""Every state that the page can be in: its layout at two widths, and what axe-core has against it in both schemes.

Layout is compared by the boxes of elements, not by pixels, which differ between machines: what stands beside or below
what, nothing over anything else, nothing outside, and nothing that moves when pictures arrive.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

import pytest
from axe_findings import serious_findings
from live_server import LiveServer
from playwright.sync_api import Browser, Page, expect
from search_answers import RIVALS, answer, explained, prediction, put_before
from watched_page import picture_file, watched_page

WIDE: Any = {"width": 1280, "height": 800}
NARROW: Any = {"width": 390, "height": 844}
UNSURE = prediction(sure=False, unknown=True, unknown_score=0.8, label="rosso", rank="species", help=RIVALS)
LONG = "Caerula-with-a-name-that-does-not-end " * 3
# What stands side by side or one below the other; within each line nothing may lie over anything else.
GROUPS = (
    ".bar > *", ".bar nav > *", "h1, #drop, #filters, #note, #answer, .results-head, #cards", ".ways > *", "#shots > *",
    "#answer > *", ".verdict > *", ".vote-rank", ".vote-rank li > *", ".facet > *", "#cards > li", ".card > *",
    "dialog[open] .sheet > *", "dialog[open] header > *", "dialog[open] .stage", "dialog[open] .pairs li",
    "dialog[open] .column", "dialog[open] .pictures img", "dialog[open] dt, dialog[open] dd", "dialog[open] .entry",
)  # fmt: skip
BOXES = """selector => [...document.querySelectorAll(selector)].map((element) => {
    const { left, top, right, bottom } = element.getBoundingClientRect();
    return { left, top, right, bottom, name: element.id || element.className || element.textContent.trim() };
}).filter(({ left, right }) => right - left > 1)"""
# The last line of a clipped text is cut off on purpose; a control or picture never is.
OUTSIDE = """() => {
    const frame = document.querySelector('dialog[open]') || document.documentElement;
    const within = frame.getBoundingClientRect();
    return [...frame.querySelectorAll('button, input, select, img, h2, h3, dd, li, p')].filter((element) => {
        const box = element.getBoundingClientRect();
        return box.width > 1 && !element.closest('.visually-hidden, .skip, dialog:not([open])')
            && (box.left < within.left - 1 || box.right > within.right + 1);
    }).map((element) => element.outerHTML.slice(0, 90));
}"""


def states(page: Page) -> Iterator[str]:
    """Bring the page into one state after another."""
    put_before(page, answer(num_pictures=2), explained(answer(num_pictures=2), 0), answer(prediction=UNSURE), *worst())
    yield "start"
    page.evaluate("document.getElementById('filters').open = true")
    page.get_by_role("combobox", name="Only these of species").click()
    expect(page.get_by_role("listbox")).to_be_visible()
    yield "filter"
    page.keyboard.press("Escape")
    page.set_input_files("#files", files=[picture_file("a.png"), picture_file("b.png")])
    expect(page.locator(".weight")).to_have_count(2)
    yield "answer"
    page.locator("[data-do=why]").first.click()
    expect(page.locator(".pair")).to_have_count(2)
    page.get_by_label("Show where the encoder looked").check()
    yield "why"
    page.keyboard.press("Escape")
    page.set_input_files("#files", files=[picture_file()])
    expect(page.locator("#unknown")).to_be_visible()
    for row in (0, 1):
        page.locator("[data-do=compare]").nth(row).click()
    yield "unknown"
    page.locator("#tray-open").click()
    expect(page.get_by_role("dialog", name="Two matches")).to_be_visible()
    yield "compare"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Compare rosso and pink rose").click()
    expect(page.locator(".column img")).to_have_count(9)
    yield "rivals"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="History").click()
    expect(page.locator(".entry")).to_have_count(2)
    yield "history"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("kbd").first).to_be_visible()
    yield "keys"
    page.keyboard.press("Escape")
    page.set_input_files("#files", files=[picture_file(f"{LONG}.png")])
    expect(page.locator("#name")).to_have_text(LONG.strip())
    yield "long names"


def worst() -> Iterator[dict[str, Any]]:
    """An answer whose names are as long as they come."""
    long = answer()
    long["matches"] = [{**one, "labels": {"species": LONG, "genus": LONG}} for one in long["matches"]]
    ranks = [{"rank": "species", "labels": [{"label": LONG, "confidence": 0.9}] * 5}]
    rivals = {**RIVALS, "labels": [LONG, LONG]}
    long["prediction"] = prediction(label=LONG, rank="species", ranks=ranks, sure=False, help=rivals)
    yield long


def overlaps(page: Page) -> list[tuple[str, str, str]]:
    """Pairs of one group that lie over each other by more than a rounding of pixels."""
    found = []
    for group in GROUPS:
        for one, other in combinations(page.evaluate(BOXES, group), 2):
            width = min(one["right"], other["right"]) - max(one["left"], other["left"])
            height = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
            if width > 1 and height > 1:
                found.append((group, one["name"], other["name"]))
    return found


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_lies_over_anything_else_or_outside(browser: Browser, server: LiveServer, viewport: Any) -> None:
    with watched_page(browser, server.url, viewport=viewport, reduced_motion="reduce") as page:
        expect(page.locator(".facet")).to_have_count(2)
        for state in states(page):
            page.wait_for_load_state("networkidle")
            assert overlaps(page) == [], state
            assert page.evaluate(OUTSIDE) == [], state
            assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"], state


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_nothing_serious_against_any_state(browser: Browser, server: LiveServer, scheme: str) -> None:
    options = {"bypass_csp": True, "color_scheme": scheme, "reduced_motion": "reduce"}
    with watched_page(browser, server.url, **options) as page:
        expect(page.locator(".facet")).to_have_count(2)
        for state in states(page):
            assert serious_findings(page) == [], state


def test_what_stands_where(browser: Browser, server: LiveServer) -> None:
    order = ["#drop", "#filters", "#answer", ".results-head", "#cards", "#note"]
    for viewport in (WIDE, NARROW):
        with watched_page(browser, server.url, viewport=viewport) as page:
            put_before(page, answer(note="A note."))
            page.set_input_files("#files", files=[picture_file()])
            expect(page.locator(".card")).to_have_count(4)
            boxes = [page.locator(selector).bounding_box() for selector in order]
            if viewport is NARROW:
                assert all(above["y"] + above["height"] <= below["y"] for above, below in pairwise(boxes))
                assert len({box["x"] for box in boxes}) == 1
                assert boxes[2]["y"] < NARROW["height"] - 200  # the answer is seen without scrolling
            else:
                drop, filters, found, *_, cards, note = boxes
                assert drop["x"] == filters["x"] == note["x"] < found["x"] == cards["x"]
                assert drop["y"] + drop["height"] < filters["y"] < note["y"]


def test_nothing_moves_when_pictures_arrive_or_an_answer_is_waited_for(page: Page) -> None:
    held: list[Any] = []
    page.route("**/thumbnail", lambda route: held.append(route))
    put_before(page, answer())
    page.set_input_files("#files", files=[picture_file()])
    expect(page.locator(".card")).to_have_count(4)
    parts = "#answer, #cards > li, .card .text, .card-actions"
    before = page.evaluate(BOXES, parts)
    for route in held:
        route.continue_()
    for image in page.locator(".card img").all():
        image.evaluate("image => image.decode()")
    assert page.evaluate(BOXES, parts) == before
    page.route("**/search?*", lambda route: None)
    page.select_option("#k", "24")
    expect(page.locator("#results")).to_have_attribute("aria-busy", "true")
    assert page.evaluate(BOXES, parts) == before
    heights = {round(box["bottom"] - box["top"]) for box in page.evaluate(BOXES, "#cards > li")}
    assert len(heights) == 1
