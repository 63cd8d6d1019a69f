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
