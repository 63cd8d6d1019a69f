"""Addresses: Back and Forward show what was asked under them, and an item is reached whatever its id."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from live_server import LiveServer, serving
from playwright.sync_api import Page, expect
from served_catalogue import COLOURS, build_served_catalogue, drawn_picture, encoded
from watched_page import picture_file

NARROW = (40, 60)  # of a picture, unlike all others of the catalogue
# What a browser would take out of a path, and what it would then find there.
DOTTED_IDS = ("a/../lime", "./lime", "..", "a/..", "lime/.")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[LiveServer]:
    catalogue = build_served_catalogue(tmp_path_factory.mktemp("served"), tiny_bundle)
    with serving(catalogue, catalogue.parent / "log.txt", "--allow-writes") as running:
        yield running


def put(server: LiveServer, item_id: str, size: tuple[int, int]) -> None:
    files = {"image": encoded(drawn_picture(COLOURS["Viridis/lime"], 70, size))}
    url = f"{server.url}/items%2F{quote(item_id, safe='')}"
    httpx.put(url, files=files, trust_env=False).raise_for_status()


def remove(server: LiveServer, item_id: str) -> None:
    httpx.delete(f"{server.url}/items%2F{quote(item_id, safe='')}", trust_env=False).raise_for_status()


def shows(page: Page, *names: str) -> None:
    expect(page.locator("#shots figcaption")).to_have_text(list(names))
    expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")
    for image in page.locator("#shots img").all():
        image.evaluate("image => image.decode()")  # it is there, and was not let go of


def go_to_card(page: Page, row: int = 0) -> str:
    card = page.locator(".card").nth(row)
    item_id = str(card.get_attribute("data-id"))
    card.click()
    shows(page, item_id)
    return item_id


def test_back_and_forward_between_pictures_and_items(page: Page) -> None:
    page.set_input_files("#files", files=[picture_file("first.png"), picture_file("more.png", seed=51)])
    shows(page, "first.png", "more.png")
    one = go_to_card(page)
    page.go_back()
    shows(page, "first.png", "more.png")
    expect(page.locator("#name")).to_have_text("lime")
    assert "#" not in page.url
    page.go_forward()
    shows(page, one)
    page.set_input_files("#files", files=[picture_file("second.png", "Rubra/rosso")])
    shows(page, "second.png")
    other = go_to_card(page)
    for back in (("second.png",), (one,), ("first.png", "more.png")):
        page.go_back()
        shows(page, *back)
    for forward in (one, "second.png", other):
        page.go_forward()
        shows(page, forward)


def test_back_to_where_nothing_is_known_to_have_been_asked_shows_nothing(page: Page) -> None:
    page.set_input_files("#files", files=[picture_file()])
    shows(page, "lime.png")
    item = go_to_card(page)
    page.reload()  # a browser gives no page its files again
    shows(page, item)
    page.go_back()
    expect(page.locator("#shots")).to_be_hidden()
    expect(page.locator("#answer")).to_be_hidden()
    expect(page.locator(".card")).to_have_count(0)
    page.go_forward()
    shows(page, item)
    page.set_input_files("#files", files=[picture_file("next.png")])
    shows(page, "next.png")
    page.get_by_role("button", name="Remove next.png").click()
    expect(page.locator("#shots")).to_be_hidden()
    page.go_back()
    shows(page, item)
    page.go_forward()
    expect(page.locator("#shots")).to_be_hidden()


def test_skipping_to_the_matches_changes_no_question(page: Page) -> None:
    page.set_input_files("#files", files=[picture_file()])
    shows(page, "lime.png")
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#results")).to_be_focused()
    shows(page, "lime.png")
    item = go_to_card(page)
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#results")).to_be_focused()
    shows(page, item)
    page.go_back()
    shows(page, "lime.png")


def test_a_question_that_another_replaced_is_no_longer_waited_for(page: Page) -> None:
    page.route("**/search?*", lambda route: None, times=1)  # never answered
    page.set_input_files("#files", files=[picture_file("slow.png")])
    expect(page.locator("#results")).to_have_attribute("aria-busy", "true")
    with page.expect_event("requestfailed") as failed:
        page.set_input_files("#files", files=[picture_file("quick.png")])
    assert "/search?" in failed.value.url
    assert failed.value.failure == "net::ERR_ABORTED"
    expect(page.locator(".card")).to_have_count(12)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_dots_in_an_id_lead_to_no_other_item(page: Page, server: LiveServer) -> None:
    shape = "image => [image.naturalWidth, image.naturalHeight]"
    put(server, "lime", (80, 60))
    for item_id in DOTTED_IDS:
        put(server, item_id, NARROW)
    page.select_option("#k", "48")
    for item_id in DOTTED_IDS:
        page.evaluate("id => { location.hash = `item=${encodeURIComponent(id)}`; }", item_id)
        shows(page, item_id)
        assert page.locator("#shots img").evaluate(shape) == list(NARROW)
    page.evaluate("location.hash = 'item=lime'")
    shows(page, "lime")
    for item_id in DOTTED_IDS:
        picture = page.locator(f'.card[data-id="{item_id}"] img')
        picture.scroll_into_view_if_needed()
        picture.evaluate("image => image.decode()")
        assert picture.evaluate(shape) == list(NARROW)
    for item_id in ("lime", *DOTTED_IDS):
        remove(server, item_id)
