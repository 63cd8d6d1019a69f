"""Why this match: what the server explains is drawn in its place over both pictures, and asked for only when wanted."""

from typing import Any

import pytest
from live_server import LiveServer
from playwright.sync_api import Browser, Locator, Page, expect
from search_answers import answer, explained, explanation, put_before
from watched_page import picture_file, watched_page

ITEM = "Viridis/lime/0.png"


def from_item(page: Page, *answers: dict[str, Any]) -> list[Any]:
    sent = put_before(page, *answers)
    page.evaluate("id => { location.hash = `item=${encodeURIComponent(id)}`; }", ITEM)
    expect(page.locator(".card")).to_have_count(4)
    return sent


def placed(mark: Locator) -> list[float]:
    """Where an element lies over its picture, in shares of it: left, top, right, bottom."""
    share = """(mark) => {
        const picture = mark.closest('.stage').querySelector('img');
        const [box, whole] = [mark.getBoundingClientRect(), picture.getBoundingClientRect()];
        return [(box.left - whole.left) / whole.width, (box.top - whole.top) / whole.height,
            (box.right - whole.left) / whole.width, (box.bottom - whole.top) / whole.height];
    }"""
    return mark.evaluate(share)  # type: ignore[no-any-return]


def test_pairs_are_drawn_in_their_places_in_matching_colours(page: Page) -> None:
    sent = from_item(page, answer(), explained(answer(), 0, 1))
    page.get_by_role("button", name="Why this match: 1. rosso").click()
    dialog = page.get_by_role("dialog", name="Why rosso?")
    expect(dialog.locator(".pair-share")).to_have_text(
        ["0.31 of what the regions settle", "0.12 of what the regions settle"]
    )
    expect(dialog.locator("#why-scores")).to_have_text(
        "Match 1 · similarity 0.930 · whole picture 0.900 · patches 0.700"
    )
    assert sent == [{"item_id": ITEM}, {"item_id": ITEM, "explain": True}]
    for side, key in (("#why-query", "query"), ("#why-match", "item")):
        image = dialog.locator(f"{side} img")
        expect(image).to_have_js_property("complete", True)
        image.evaluate("image => image.decode()")
        box = image.bounding_box()
        assert box["width"] / box["height"] == pytest.approx(80 / 60, abs=0.02)  # not stretched
        marks = dialog.locator(f"{side} .mark")
        expect(marks).to_have_count(2)
        for mark, pair in zip(reversed(marks.all()), explanation()["pairs"], strict=True):
            assert placed(mark) == pytest.approx(pair[key]["box"], abs=0.01)
    colour = "mark => getComputedStyle(mark).borderTopColor"
    first, second = (
        {dialog.locator(f"{side} .mark").nth(row).evaluate(colour) for side in ("#why-query", "#why-match")}
        for row in (0, 1)
    )
    assert len(first) == len(second) == 1
    assert first != second


def test_one_pair_stands_out_when_it_is_pointed_at(page: Page) -> None:
    from_item(page, answer(), explained(answer(), 0))
    page.get_by_role("button", name="Why this match: 1.").click()
    dialog = page.get_by_role("dialog")
    dialog.locator(".pair").nth(1).focus()
    expect(dialog.locator(".mark.dim")).to_have_count(2)
    expect(dialog.locator(".mark:not(.dim)")).to_have_text(["2", "2"])
    dialog.get_by_role("button", name="Close").focus()
    expect(dialog.locator(".mark.dim")).to_have_count(0)


def test_numbers_of_patches_that_met_the_same_one_stand_beside_each_other(page: Page) -> None:
    pairs = explanation()["pairs"]
    pairs[1]["item"] = pairs[0]["item"]
    met = {**answer(), "matches": [{**answer()["matches"][0], "explanation": explanation(pairs=pairs)}]}
    put_before(page, met)
    page.set_input_files("#files", files=[picture_file()])
    page.get_by_role("button", name="Why this match: 1.").click()
    left = "mark => parseFloat(getComputedStyle(mark, '::before').left)"
    marks = page.locator("#why-match .mark")
    expect(marks).to_have_count(2)  # `all` does not wait
    second, first = (mark.evaluate(left) for mark in marks.all())
    assert second >= first + 16


def test_the_map_of_attention_can_be_switched_on_and_lies_where_the_encoder_looked(page: Page) -> None:
    from_item(page, answer(), explained(answer(), 0))
    page.get_by_role("button", name="Why this match: 1.").click()
    heat = page.locator("#why-match .heat")
    expect(heat).to_be_hidden()
    page.get_by_label("Show where the encoder looked").check()
    expect(heat).to_be_visible()
    assert placed(heat) == pytest.approx([0.125, 0, 0.875, 1], abs=0.01)
    alphas = heat.evaluate("""canvas => [...canvas.getContext('2d').getImageData(0, 0, 3, 2).data]
        .filter((_, place) => place % 4 === 3)""")
    assert alphas == [64, 255, 64, 64, 128, 64]  # in proportion, the strongest in full


def test_a_match_that_was_not_explained_is_asked_for_by_itself_and_once(page: Page) -> None:
    last = {**answer(), "matches": explained(answer(), 3)["matches"][3:]}
    sent = from_item(page, answer(), explained(answer(), 0), last)
    for _ in range(2):
        page.get_by_role("button", name="Why this match: 4. lime").click()
        expect(page.locator(".pair")).to_have_count(2)
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
    assert sent[2] == {"item_id": ITEM, "filter": 'id == "Viridis/lime/3.png"', "explain": True}
    assert len(sent) == 3


def test_several_pictures_each_show_what_they_decided(page: Page) -> None:
    pairs = explanation()["pairs"]
    pairs[1]["query"]["picture"] = 1
    document = answer(num_pictures=2)
    document["query"][1]["attention"] = explanation()["query_attention"]
    document["matches"] = [{**document["matches"][0], "explanation": explanation(pairs=pairs)}]
    put_before(page, document)
    page.set_input_files("#files", files=[picture_file("front.png"), picture_file("side.png")])
    page.get_by_role("button", name="Why this match: 1.").click()
    stages = page.locator("#why-query .stage")
    expect(stages.locator(".mark")).to_have_text(["1", "2"])
    expect(stages.nth(1).get_by_alt_text("side.png")).to_be_visible()
    expect(stages.nth(1).locator(".heat")).to_have_count(1)


def test_the_match_becomes_the_next_question(page: Page) -> None:
    sent = from_item(page, answer(), explained(answer(), 0))
    page.get_by_role("button", name="Why this match: 1.").click()
    page.get_by_role("button", name="Use as next question").click()
    expect(page.locator("#shots figcaption")).to_have_text("Rubra/rosso/0.png")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert sent[-1] == {"item_id": "Rubra/rosso/0.png"}


def test_a_server_that_does_not_explain_is_quoted(browser: Browser, server: LiveServer) -> None:
    with watched_page(browser, server.url, refusals=(400,)) as page:
        page.set_input_files("#files", files=[picture_file()])
        expect(page.locator(".card")).to_have_count(12)
        refusal = {"error": {"code": "malformed_request", "message": "`explain` is not offered", "detail": None}}
        page.route("**/search?*", lambda route: route.fulfill(status=400, json=refusal))
        page.locator("[data-do=why]").first.click()
        expect(page.locator("#why-status")).to_have_text("There is no explanation: `explain` is not offered")
        expect(page.locator(".stage img")).to_have_count(2)
        expect(page.get_by_label("Show where the encoder looked")).to_be_hidden()
