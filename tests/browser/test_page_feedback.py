"""A person confirms or corrects an answer: its pictures become items with labels of all ranks, or are taken back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live_server import LiveServer, serving
from playwright.sync_api import Browser, Page, expect
from served_catalogue import build_served_catalogue
from watched_page import BROKEN_FILE, picture_file, watched_page


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    return build_served_catalogue(tmp_path_factory.mktemp("served"), tiny_bundle)


@pytest.fixture(scope="module")
def server(catalogue: Path) -> Iterator[LiveServer]:
    with serving(catalogue, catalogue.parent / "log.txt", "--allow-writes") as running:
        yield running


def added(server: LiveServer) -> list[dict[str, Any]]:
    asked = {"filter": 'startswith(id, "page/")'}
    return httpx.get(f"{server.url}/items", params=asked, trust_env=False).json()["items"]  # type: ignore[no-any-return]


def test_a_confirmed_answer_becomes_items_and_is_taken_back(page: Page, server: LiveServer) -> None:
    page.set_input_files("#files", files=[picture_file("a.png"), BROKEN_FILE, picture_file("b.png")])
    page.get_by_role("button", name="Yes, it is lime").click()
    said = page.locator("#feedback-said")
    expect(said).to_contain_text("Added 2 pictures to the catalogue as lime, Viridis.")
    first, second = added(server)
    assert first["id"].startswith("page/lime/")
    assert first["labels"] == second["labels"] == {"species": "lime", "genus": "Viridis"}
    page.select_option("#k", "24")
    expect(page.locator(f'.card[data-id="{first["id"]}"]')).to_have_count(1)  # found by the next search
    expect(page.get_by_role("button", name="Undo")).to_be_visible()  # the same question: it can still be taken back
    expect(page.get_by_role("button", name="Yes, it is lime")).to_be_hidden()
    page.set_input_files("#files", files=[picture_file()])
    page.get_by_role("button", name="Yes, it is lime").click()
    expect(said).to_contain_text("Added 1 picture")
    page.get_by_role("button", name="Undo").click()
    expect(said).to_have_text("Taken back.")
    assert [one["id"] for one in added(server)] == [first["id"], second["id"]]
    expect(page.get_by_role("button", name="Yes, it is lime")).to_be_visible()  # and may be asked again


def test_a_corrected_answer_takes_the_other_ranks_from_the_items_of_its_name(page: Page, server: LiveServer) -> None:
    before = {one["id"] for one in added(server)}
    page.set_input_files("#files", files=[picture_file()])
    page.get_by_role("button", name="No, it is …").click()
    name = page.get_by_role("combobox", name="The right name", exact=True)
    expect(name).to_be_focused()
    name.press_sequentially("PI")
    expect(page.locator(".options [role=option]")).to_have_text(["pink rose4"])
    name.press("ArrowDown")
    name.press("Enter")
    expect(page.locator("#feedback-said")).to_contain_text("as pink rose, Rubra.")
    (item,) = [one for one in added(server) if one["id"] not in before]
    assert item["labels"] == {"species": "pink rose", "genus": "Rubra"}


def test_a_new_name_and_a_coarser_rank(page: Page, server: LiveServer) -> None:
    before = {one["id"] for one in added(server)}
    for rank, name, labels in (
        ("species", "../odd & new", {"species": "../odd & new"}),
        ("genus", "Caerula", {"genus": "Caerula"}),
    ):
        page.set_input_files("#files", files=[picture_file()])
        page.get_by_role("button", name="No, it is …").click()
        page.get_by_label("Rank of the right name").select_option(rank)
        page.get_by_role("combobox", name="The right name", exact=True).fill(name)
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.locator("#feedback-said")).to_contain_text(f"as {name}.")
        (item,) = [one for one in added(server) if one["id"] not in before]
        before.add(item["id"])
        assert item["labels"] == labels
        assert "/../" not in item["id"]


def test_what_the_server_refuses_is_said_and_can_be_tried_again(browser: Browser, server: LiveServer) -> None:
    with watched_page(browser, server.url, refusals=(403,)) as page:
        page.set_input_files("#files", files=[picture_file()])
        refusal = {"error": {"code": "writes_off", "message": "this server is read-only", "detail": None}}
        page.route("**/items/page/**", lambda route: route.fulfill(status=403, json=refusal))
        page.get_by_role("button", name="Yes, it is lime").click()
        expect(page.locator("#feedback-said")).to_contain_text("Not added: this server is read-only")
        expect(page.get_by_role("button", name="Yes, it is lime")).to_be_visible()


def test_an_item_is_not_confirmed(page: Page) -> None:
    page.evaluate("location.hash = 'item=Viridis%2Flime%2F0.png'")
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator("#feedback")).to_be_hidden()
