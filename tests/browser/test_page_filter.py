"""The filter field of the page: it narrows a search, is kept from query to query, and a mistake in it is said there."""

import re

from live_server import LiveServer
from playwright.sync_api import Browser, Page, expect
from watched_page import picture_file, watched_page

UNCLOSED = 'genus == "Rubra" and (species == "rosso"'
MISSPELT = 'genos == "Rubra"'


def genera(page: Page) -> set[str]:
    return set(page.locator(".card .group").all_text_contents())


def apply(page: Page, text: str) -> None:
    page.get_by_label("Search only among").fill(text)
    page.get_by_role("button", name="Apply").click()


def test_a_filter_narrows_the_answer_and_an_empty_one_widens_it(page: Page) -> None:
    expect(page.locator("#filter-hint")).to_contain_text("Ranks here: species, genus.")
    page.set_input_files("#files", files=[picture_file()])
    expect(page.locator(".card")).to_have_count(12)
    assert genera(page) > {"Rubra"}
    apply(page, ' genus == "Rubra" ')
    expect(page.locator(".card")).to_have_count(8)
    assert genera(page) == {"Rubra"}
    expect(page.get_by_alt_text("Your picture lime.png")).to_be_visible()
    apply(page, "")
    expect(page.locator(".card")).to_have_count(12)
    apply(page, 'startswith(id, "Nowhere/")')
    expect(page.locator(".card")).to_have_count(0)
    expect(page.locator("#empty")).to_have_text("The catalogue has no other picture that the filter lets through.")


def test_the_filter_goes_with_the_next_picture_and_with_the_next_query_from_a_result(page: Page) -> None:
    page.get_by_label("Search only among").fill('genus == "Rubra"')  # written, and applied by the upload
    page.set_input_files("#files", files=[picture_file()])
    expect(page.locator(".card")).to_have_count(8)
    first = page.locator(".card").first
    item = str(first.get_attribute("data-id"))
    with page.expect_request("**/search?*") as sent:
        first.click()
    assert sent.value.post_data_json == {"item_id": item, "filter": 'genus == "Rubra"'}
    expect(page.locator("#shots figcaption")).to_have_text(item)
    expect(page.locator(".card")).to_have_count(7)  # the eight of the genus, without the one that was asked from
    assert genera(page) == {"Rubra"}
    expect(page.get_by_label("Search only among")).to_have_value('genus == "Rubra"')


def test_a_refused_filter_is_said_at_its_field_in_the_words_of_the_server(browser: Browser, server: LiveServer) -> None:
    with watched_page(browser, server.url, refusals=(400,)) as page:
        field, said = page.get_by_label("Search only among"), page.locator("#filter-problem")
        page.set_input_files("#files", files=[picture_file()])
        expect(page.locator(".card")).to_have_count(12)
        with page.expect_response("**/search?*") as answered:
            apply(page, UNCLOSED)
        words = answered.value.json()["error"]["message"]
        assert "is not closed" in words
        expect(said).to_have_text(words)
        expect(said).to_have_role("alert")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(re.escape(words)))
        expect(page.locator("#problem")).to_be_hidden()
        expect(page.locator(".card")).to_have_count(0)
        expect(page.locator("#shots .bad")).to_have_count(0)  # the picture is not what is wrong
        apply(page, 'genus == "Rubra"')
        expect(page.locator(".card")).to_have_count(8)
        expect(said).to_be_hidden()
        expect(field).to_have_attribute("aria-invalid", "false")


def test_before_there_is_a_picture_a_filter_is_tried_at_once(browser: Browser, server: LiveServer) -> None:
    with watched_page(browser, server.url, refusals=(400,)) as page:
        apply(page, MISSPELT)
        expect(page.locator("#filter-problem")).to_contain_text("did you mean genus?")
        apply(page, 'genus == "Rubra"')
        expect(page.locator("#empty")).to_have_text("The filter is set: choose a picture.")
        expect(page.locator("#filter-problem")).to_be_hidden()
        apply(page, 'genus == "Nowhere"')
        expect(page.locator("#empty")).to_have_text("The filter lets no picture through.")
        apply(page, "")
        expect(page.locator("#empty")).to_contain_text("most like yours will stand here")


def test_labels_are_chosen_rank_by_rank_and_taken_back(page: Page) -> None:
    genus = page.get_by_role("combobox", name="Only these of genus")
    expect(genus).to_have_attribute("placeholder", "any of 3 names")
    page.set_input_files("#files", files=[picture_file()])
    expect(page.locator(".card")).to_have_count(12)
    genus.click()  # lists the labels, those of most pictures first
    expect(page.locator(".options [role=option]")).to_have_text(["Rubra8", "Caerula4", "Viridis4"])
    page.get_by_role("option", name="Rubra").click()
    expect(page.locator(".card")).to_have_count(8)
    assert genera(page) == {"Rubra"}
    genus.press_sequentially("vir")
    expect(page.locator(".options [role=option]")).to_have_count(1)
    genus.press("ArrowDown")
    genus.press("Enter")
    expect(page.locator(".card")).to_have_count(12)
    assert genera(page) == {"Rubra", "Viridis"}
    expect(page.locator("#filters-now")).to_have_text("Rubra, Viridis")
    apply(page, 'not contains(species, "rose")')  # with what is written, not instead of it
    expect(page.locator(".card")).to_have_count(8)
    page.get_by_role("button", name="Take back genus Rubra").click()
    expect(page.locator(".card")).to_have_count(4)
    expect(genus).to_be_focused()
    with page.expect_request("**/search?*") as sent:
        page.locator(".card").first.click()
    assert sent.value.post_data_json["filter"] == '(not contains(species, "rose")) and (genus == "Viridis")'


def test_a_name_that_is_typed_in_full_needs_no_choice_and_one_that_is_not_there_is_said(page: Page) -> None:
    species = page.get_by_role("combobox", name="Only these of species")
    species.fill("SKY?#%")
    species.press("Enter")
    expect(page.locator(".chip")).to_have_text("sky?#%")
    expect(page.locator("#empty")).to_have_text("The filter is set: choose a picture.")
    species.fill("nowhere")
    expect(page.get_by_text("No label begins so")).to_be_visible()
    species.press("Escape")
    expect(page.get_by_text("No label begins so")).to_be_hidden()


def test_of_many_labels_a_few_are_listed(page: Page) -> None:
    page.route("**/labels?*", lambda route: route.fulfill(
        json={"rank": "genus", "labels": [{"label": f"G{n}", "items": 9} for n in range(8)], "total": 40_000}
    ))  # fmt: skip
    with page.expect_request("**/labels?*") as asked:
        page.get_by_role("combobox", name="Only these of genus").click()
    assert asked.value.url.endswith("/labels?rank=genus&prefix=&limit=8")
    expect(page.get_by_text("and 39,992 more: type on")).to_be_visible()
