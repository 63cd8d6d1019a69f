"""A person confirms or corrects an answer: its pictures become items with labels of all ranks, or are taken back."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live_server import LiveServer, serving
from playwright.sync_api import Browser, Page, Route, expect
from served_catalogue import build_served_catalogue
from watched_page import BROKEN_FILE, picture_file, watched_page

LIME = {"species": "lime", "genus": "Viridis"}
PINK_ROSE = {"species": "pink rose", "genus": "Rubra"}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    return build_served_catalogue(tmp_path_factory.mktemp("served"), tiny_bundle)


@pytest.fixture(scope="module")
def server(catalogue: Path) -> Iterator[LiveServer]:
    with serving(catalogue, catalogue.parent / "log.txt", "--allow-writes") as running:
        yield running


@pytest.fixture(autouse=True)
def _no_item_stays(server: LiveServer) -> Iterator[None]:
    yield
    for one in added(server):
        remove(server, one["id"])


def added(server: LiveServer) -> list[dict[str, Any]]:
    asked = {"filter": 'startswith(id, "page/")'}
    return httpx.get(f"{server.url}/items", params=asked, trust_env=False).json()["items"]  # type: ignore[no-any-return]


def remove(server: LiveServer, item_id: str) -> None:
    httpx.delete(f"{server.url}/items/{item_id}", trust_env=False).raise_for_status()


def say_yes(page: Page, *files: Any) -> None:
    page.set_input_files("#files", files=list(files))
    page.get_by_role("button", name="Yes, it is lime").click()


def say_no(page: Page, right_name: str, *files: Any) -> None:
    page.set_input_files("#files", files=list(files))
    page.get_by_role("button", name="No, it is …").click()
    page.get_by_role("combobox", name="The right name", exact=True).fill(right_name)
    page.get_by_role("button", name="Add", exact=True).click()


def undo(page: Page) -> None:
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#feedback-said")).to_have_text("Taken back.")


def test_a_confirmed_answer_becomes_items_and_is_taken_back(page: Page, server: LiveServer) -> None:
    say_yes(page, picture_file("a.png"), BROKEN_FILE, picture_file("b.png", seed=51))
    said = page.locator("#feedback-said")
    expect(said).to_contain_text("Added 2 pictures to the catalogue as lime, Viridis.")
    first, second = added(server)
    assert re.fullmatch("page/[0-9a-f]{16}", first["id"])
    assert first["labels"] == second["labels"] == LIME
    page.select_option("#k", "24")
    expect(page.locator(f'.card[data-id="{first["id"]}"]')).to_have_count(1)  # found by the next search
    expect(page.get_by_role("button", name="Undo")).to_be_visible()  # the same question: it can still be taken back
    expect(page.get_by_role("button", name="Yes, it is lime")).to_be_hidden()
    say_yes(page, picture_file(seed=52))
    expect(said).to_contain_text("Added 1 picture")
    undo(page)
    assert [one["id"] for one in added(server)] == [first["id"], second["id"]]
    expect(page.get_by_role("button", name="Yes, it is lime")).to_be_visible()  # and may be asked again


def test_a_corrected_answer_takes_the_other_ranks_from_the_items_of_its_name(page: Page, server: LiveServer) -> None:
    page.set_input_files("#files", files=[picture_file()])
    page.get_by_role("button", name="No, it is …").click()
    name = page.get_by_role("combobox", name="The right name", exact=True)
    expect(name).to_be_focused()
    name.press_sequentially("PI")
    expect(page.locator(".options [role=option]")).to_have_text(["pink rose4"])
    name.press("ArrowDown")
    name.press("Enter")
    expect(page.locator("#feedback-said")).to_contain_text("as pink rose, Rubra.")
    (item,) = added(server)
    assert item["labels"] == PINK_ROSE


def test_a_new_name_and_a_coarser_rank(page: Page, server: LiveServer) -> None:
    before: set[str] = set()
    for seed, rank, name, labels in (
        (60, "species", "../odd & new", {"species": "../odd & new"}),
        (61, "genus", "Caerula", {"genus": "Caerula"}),
    ):
        page.set_input_files("#files", files=[picture_file(seed=seed)])
        page.get_by_role("button", name="No, it is …").click()
        page.get_by_label("Rank of the right name").select_option(rank)
        page.get_by_role("combobox", name="The right name", exact=True).fill(name)
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.locator("#feedback-said")).to_contain_text(f"as {name}.")
        (item,) = [one for one in added(server) if one["id"] not in before]
        before.add(item["id"])
        assert item["labels"] == labels


def test_a_picture_is_there_once_however_often_it_is_confirmed(page: Page, server: LiveServer) -> None:
    said = page.locator("#feedback-said")
    say_yes(page, picture_file("a.png"), picture_file("the same.png"))
    expect(said).to_contain_text("Added 1 picture")
    say_yes(page, picture_file("again.png"))
    expect(said).to_have_text("Already in the catalogue as lime, Viridis: 1 picture.")  # and no Undo of what was there
    expect(page.get_by_role("button", name="No, it is …")).to_be_visible()
    say_yes(page, picture_file("again.png"), picture_file("b.png", seed=51))
    expect(said).to_contain_text("Added 1 picture to the catalogue as lime, Viridis.")
    expect(said).to_contain_text("Already in the catalogue as lime, Viridis: 1 picture.")
    assert len(added(server)) == 2
    undo(page)
    assert len(added(server)) == 1


def test_an_answer_that_is_lost_does_not_double_what_arrived(browser: Browser, server: LiveServer) -> None:
    def lose(route: Route) -> None:
        sent = route.request
        headers = {"content-type": sent.headers["content-type"]}
        httpx.put(sent.url, content=sent.post_data_buffer, headers=headers, trust_env=False).raise_for_status()
        route.abort()

    with watched_page(browser, server.url, lost=True) as page:
        page.route("**/items/page/**", lose, times=1)
        say_yes(page, picture_file())
        expect(page.locator("#feedback-said")).to_contain_text("Not added: The server does not answer.")
        assert len(added(server)) == 1
        page.get_by_role("button", name="Yes, it is lime").click()
        expect(page.locator("#feedback-said")).to_contain_text("Added 1 picture")
        assert len(added(server)) == 1
        undo(page)
        assert added(server) == []


def test_a_second_try_goes_on_where_the_first_failed(browser: Browser, server: LiveServer) -> None:
    refusal = {"error": {"code": "overloaded", "message": "too much", "detail": None}}

    def refuse_second(route: Route) -> None:
        puts.append(route.request.url)
        route.fulfill(status=429, json=refusal) if len(puts) == 2 else route.continue_()

    puts: list[str] = []
    with watched_page(browser, server.url, refusals=(429,)) as page:
        page.route("**/items/page/**", refuse_second)
        say_yes(page, picture_file("a.png"), picture_file("b.png", seed=51))
        said = page.locator("#feedback-said")
        expect(said).to_contain_text("Not added: too much 1 picture had been added.")
        page.get_by_role("button", name="Yes, it is lime").click()
        expect(said).to_contain_text("Added 2 pictures")
        assert puts[1:] == [puts[1]] * 2  # what is there is not sent again
        assert len(added(server)) == 2
        undo(page)
        assert added(server) == []


def test_another_name_for_what_is_there_takes_the_place_of_the_old_one(page: Page, server: LiveServer) -> None:
    say_yes(page, picture_file())
    expect(page.locator("#feedback-said")).to_contain_text("Added 1 picture")
    (item,) = added(server)
    facts = {"labels": json.dumps(LIME), "metadata": json.dumps({"place": "meadow"})}
    files = {"image": picture_file()["buffer"]}
    httpx.put(f"{server.url}/items/{item['id']}", data=facts, files=files, trust_env=False).raise_for_status()
    say_no(page, "pink rose", picture_file())
    expect(page.locator("#feedback-said")).to_contain_text("Now pink rose, Rubra in the catalogue: 1 picture.")
    (renamed,) = added(server)
    assert renamed == {**item, "labels": PINK_ROSE, "metadata": {"place": "meadow"}}
    undo(page)
    assert added(server) == [{**renamed, "labels": LIME}]


def test_what_is_gone_already_does_not_keep_the_rest_from_being_taken_back(
    browser: Browser, server: LiveServer
) -> None:
    with watched_page(browser, server.url, refusals=(404,)) as page:
        say_yes(page, picture_file("a.png"), picture_file("b.png", seed=51))
        expect(page.locator("#feedback-said")).to_contain_text("Added 2 pictures")
        remove(server, added(server)[0]["id"])
        undo(page)
        assert added(server) == []


def test_pictures_that_differ_by_a_bit_have_ids_of_their_own(page: Page) -> None:
    ids = page.evaluate("""async () => {
        const { contentId } = await import('/page/content-id.js');
        const bytes = new Uint8Array(500);
        const ids = [await contentId(new Blob([bytes]))];
        for (let bit = 0; bit < 8 * bytes.length; bit += 1) {
            bytes[bit >> 3] ^= 1 << (bit & 7);
            ids.push(await contentId(new Blob([bytes])));
            bytes[bit >> 3] ^= 1 << (bit & 7);
        }
        return [...ids, await contentId(new Blob([bytes])), await contentId(new Blob([bytes.slice(1)]))];
    }""")
    assert ids[0] == ids[-2]
    assert len(set(ids)) == len(ids) - 1
    halves = [{one[:8] for one in ids}, {one[8:] for one in ids}]
    assert [len(half) for half in halves] == [len(ids) - 1] * 2  # of 4,000 in 2^32


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
