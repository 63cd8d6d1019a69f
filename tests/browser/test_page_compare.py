"""Two matches that a person picks are put beside the question, with what differs made plain."""

from playwright.sync_api import Page, expect
from search_answers import MATCHES, answer, put_before
from watched_page import picture_file


def test_two_matches_side_by_side(page: Page) -> None:
    matches = [
        {**one, "metadata": {"place": place}} for one, place in zip(MATCHES, ["Ulm", "Ulm", "Ulm", "Bonn"], strict=True)
    ]
    put_before(page, answer(matches=matches))
    page.set_input_files("#files", files=[picture_file()])
    picks = page.locator("[data-do=compare]")
    picks.nth(0).click()
    expect(page.locator("#tray-text")).to_have_text("rosso: choose one more")
    expect(page.get_by_role("button", name="Compare", exact=True)).to_be_disabled()
    picks.nth(2).click()
    picks.nth(1).click()  # the one that was picked first gives way
    expect(page.locator("[data-do=compare][aria-pressed=true]")).to_have_count(2)
    expect(page.locator("#tray-text")).to_have_text("rosso and pink rose")
    page.get_by_role("button", name="Compare", exact=True).click()
    dialog = page.get_by_role("dialog", name="Two matches side by side")
    expect(dialog.locator(".column h3")).to_have_text(["Your picture", "rosso", "pink rose"])
    expect(dialog.locator(".column").nth(2).locator("dd")).to_have_text(["pink rose", "Rubra", "0.920", "Ulm"])
    expect(dialog.locator(".column").nth(2).locator(".differs")).to_have_text(["pink rose"])
    page.get_by_role("button", name="Close").click()
    picks.nth(1).click()  # let go of it again
    expect(page.locator("#tray-text")).to_have_text("rosso: choose one more")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.locator("#tray")).to_be_hidden()
    expect(page.locator(".chosen")).to_have_count(0)


def test_what_is_picked_stays_picked_as_far_as_a_new_answer_has_it(page: Page) -> None:
    put_before(page, answer(), answer(matches=MATCHES[1:]))
    page.set_input_files("#files", files=[picture_file()])
    for row in (0, 1):
        page.locator("[data-do=compare]").nth(row).click()
    page.select_option("#k", "24")
    expect(page.locator(".card")).to_have_count(3)
    expect(page.locator("#tray-text")).to_have_text("pink rose: choose one more")
    expect(page.locator(".chosen .card")).to_have_attribute("data-id", MATCHES[1]["id"])
