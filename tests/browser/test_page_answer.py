"""What the page says of an answer: name, confidence, floor, "none of these", and what would settle it. Nothing more."""

import re

import pytest
from live_server import LiveServer
from playwright.sync_api import Browser, Page, expect
from search_answers import MATCHES, RANKS, RIVALS, SHARES, answer, match, prediction, put_before
from watched_page import BROKEN_FILE, picture_file, watched_page


def asked(page: Page, *answers: dict, pictures: int = 1) -> None:
    put_before(page, *answers)
    page.set_input_files("#files", files=[picture_file(f"{number}.png") for number in range(pictures)])
    expect(page.locator("#answer")).to_be_visible()


def test_an_answer_stops_at_the_rank_that_passes_the_floor_and_shows_the_vote_of_all(page: Page) -> None:
    asked(page, answer())
    expect(page.locator("#name")).to_have_text("Rubra")
    expect(page.locator("#share-text")).to_have_text("93\u00a0% confidence (genus), calibrated on this catalogue.")
    expect(page.locator("#doubt")).to_have_text("No species passes 70\u00a0%, so the answer stops at the genus.")
    for hidden in ("#unknown", "#help-text", "#feedback"):
        expect(page.locator(hidden)).to_be_hidden()
    votes = page.locator(".vote-rank")
    expect(votes).to_have_count(2)
    species, genus = votes.all()
    expect(species.locator("h3")).to_have_text("species")
    expect(species.locator(".vote-label")).to_have_text(["rosso", "pink rose", "lime"])
    expect(genus.locator(".vote-number")).to_have_text(["93\u00a0%", "7\u00a0%"])
    expect(genus.locator(".vote-label")).to_have_text(["Rubra", "Viridis (Algae)"])
    track, fill = genus.locator(".track").first, genus.locator(".fill").first
    width = "element => element.getBoundingClientRect().width"
    assert fill.evaluate(width) == pytest.approx(0.93 * track.evaluate(width), abs=1)
    expect(page.locator(".card.match")).to_have_count(3)  # of the genus, whatever their species


def test_a_share_of_a_vote_is_never_shown_as_a_probability(page: Page) -> None:
    uncalibrated = prediction(
        calibrated=False, sure=False, unknown=None, unknown_score=None, confidence=0.93, ranks=SHARES
    )
    asked(page, answer(prediction=uncalibrated))
    expect(page.locator("#answer")).not_to_contain_text("%")
    expect(page.locator("#share-text")).to_have_text(
        "0.93 of the vote of the neighbours (genus). A share, not a probability."
    )
    expect(page.locator("#kicker")).to_have_text("The neighbours vote for")
    expect(page.locator("#doubt")).to_be_hidden()  # nothing was measured that it could fall short of
    expect(page.locator(".vote-number").first).to_have_text("0.52")
    expect(page.locator(".vote-note")).to_have_text(["not calibrated"] * 2)


def test_a_rank_says_for_itself_whether_it_is_calibrated(page: Page) -> None:
    asked(page, answer(prediction=prediction(ranks=[SHARES[0], RANKS[1]])))
    species, genus = page.locator(".vote-rank").all()
    expect(species.locator("h3")).to_have_text("species not calibrated")
    expect(species.locator(".vote-note")).to_have_attribute("title", re.compile("lodisc index calibrate"))
    expect(species.locator(".vote-number")).to_have_text(["0.52", "0.41", "0.07"])
    expect(species.locator(".fill")).to_have_count(3)
    expect(genus.locator("h3")).to_have_text("genus")
    expect(genus.locator(".vote-number")).to_have_text(["93\u00a0%", "7\u00a0%"])
    expect(page.locator("#doubt")).to_have_text(
        "The confidence of species is not calibrated, so the answer stops at the genus."
    )


def test_none_of_these_is_said_before_the_nearest_name(page: Page) -> None:
    asked(page, answer(prediction=prediction(unknown=True, unknown_score=0.914)))
    expect(page.locator("#unknown")).to_contain_text("Probably none of these.")
    expect(page.locator("#unknown")).to_contain_text("0.91 of 1")
    expect(page.locator("#kicker")).to_have_text("The nearest name all the same")
    expect(page.locator("#doubt")).to_be_hidden()
    assert page.locator("#unknown").bounding_box()["y"] < page.locator("#name").bounding_box()["y"]


def test_rivals_are_put_side_by_side(page: Page) -> None:
    unsure = prediction(sure=False, confidence=0.5, label="rosso", rank="species", help=RIVALS)
    asked(page, answer(prediction=unsure))
    expect(page.locator("#kicker")).to_have_text("Perhaps")
    expect(page.locator("#doubt")).to_have_text("Not sure: no name passes 70\u00a0%. This is the nearest guess.")
    expect(page.locator("#help-text")).to_contain_text(RIVALS["text"])
    page.get_by_role("button", name="Compare rosso and pink rose").click()
    dialog = page.get_by_role("dialog", name="Which of the two?")
    expect(dialog.locator(".column h3")).to_have_text(["Your picture", "rosso", "pink rose"])
    shown = dialog.locator(".column").nth(1).locator("img")
    expect(shown).to_have_count(4)
    expect(shown.first).to_have_attribute("src", "/items/Rubra/rosso/3.png/thumbnail")  # the one the server picked
    expect(dialog.locator(".column").nth(2).locator("dd")).to_have_text(["pink rose", "41\u00a0%"])
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_another_view_is_asked_for_and_joins_the_question(page: Page) -> None:
    help_text = {"kind": "another_view", "rank": None, "labels": [], "items": {}, "text": "A view from below may tell."}
    asked(page, answer(prediction=prediction(sure=False, help=help_text)), answer(num_pictures=2))
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add another view").click()
    chooser.value.set_files([picture_file("below.png")])
    expect(page.locator("#shots figure")).to_have_count(2)
    expect(page.locator(".weight")).to_have_text(["weight 0.62", "weight 0.38"])
    expect(page.locator("#help-text")).to_be_hidden()


def test_what_is_dropped_on_another_view_joins_the_question(page: Page) -> None:
    asked(page, answer(), answer(num_pictures=2))
    page.evaluate("""() => {
        const data = new DataTransfer();
        data.items.add(new File(['x'], 'side.png', { type: 'image/png' }));
        const event = new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true });
        document.querySelector('#more-tile label').dispatchEvent(event);
    }""")
    expect(page.locator("#shots figcaption")).to_have_text(["0.png", "side.png"])
    expect(page.locator(".weight")).to_have_count(2)


def test_without_labels_there_are_ranked_pictures_and_no_name(page: Page) -> None:
    unlabelled = [{**one, "labels": {}} for one in MATCHES]
    nothing = prediction(label=None, rank=None, confidence=None, sure=False, unknown=None, unknown_score=None, ranks=[])
    asked(page, answer(matches=unlabelled, prediction=nothing))
    expect(page.locator("#name")).to_have_text("The nearest pictures have no label")
    for hidden in ("#share", "#doubt", "#votes", "#unknown", "#help-text"):
        expect(page.locator(hidden)).to_be_hidden()
    expect(page.locator(".card .label")).to_have_text([one["id"] for one in unlabelled])


def test_labels_are_text_whatever_is_in_them(page: Page) -> None:
    evil = "<img src=x onerror=alert(1)>"
    odd = {**match("lime", 0, 0.9), "labels": {evil: evil}, "metadata": {evil: evil}}
    asked(page, answer(matches=[odd, odd], prediction=prediction(label=evil, rank=evil, ranks=[])))
    expect(page.locator("#name")).to_have_text(evil)
    expect(page.locator(".card .label").first).to_have_text(evil)
    expect(page.locator("img[src=x]")).to_have_count(0)


def test_pictures_are_taken_out_one_by_one(browser: Browser, server: LiveServer) -> None:
    with watched_page(browser, server.url) as page:  # the real server
        page.set_input_files("#files", files=[picture_file("a.png"), picture_file("b.png"), BROKEN_FILE])
        expect(page.locator("#shots .bad figcaption")).to_contain_text("notes.txt")
        page.get_by_role("button", name="Remove notes.txt").click()
        expect(page.locator("#shots figure")).to_have_count(2)
        expect(page.locator("#shots .bad")).to_have_count(0)
        page.get_by_role("button", name="Remove a.png").click()
        expect(page.locator("#shots figcaption")).to_have_text(["b.png"])
        expect(page.locator(".card")).to_have_count(12)
        page.get_by_role("button", name="Remove b.png").click()
        expect(page.locator("#shots")).to_be_hidden()
        expect(page.locator("#answer")).to_be_hidden()
        expect(page.locator(".card")).to_have_count(0)
        expect(page.get_by_text("Drop a picture here")).to_be_visible()


def test_a_server_that_is_gone_is_told_in_words_and_asked_again(browser: Browser, server: LiveServer) -> None:
    with watched_page(browser, server.url, lost=True) as page:
        expect(page.locator("#facts")).to_contain_text("16 pictures")
        page.context.set_offline(True)
        page.set_input_files("#files", files=[picture_file()])
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer. Is it still running?")
        page.context.set_offline(False)
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#name")).to_have_text("lime")
        expect(page.get_by_role("alert")).to_be_hidden()
