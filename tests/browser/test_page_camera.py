"""Photographs with the camera: several of one thing in a dialog; on a phone the phone's own camera."""

from live_server import LiveServer
from playwright.sync_api import Browser, Page, expect
from watched_page import picture_file, watched_page


def test_photos_of_the_camera_are_one_question(page: Page) -> None:
    page.get_by_role("button", name="Take a photo").click()
    dialog = page.get_by_role("dialog", name="Take photos of one thing")
    take = dialog.get_by_role("button", name="Take a photo")
    for taken in ("1 photo", "2 photos"):
        expect(take).to_be_enabled()
        take.click()
        expect(dialog.get_by_role("button", name=f"Search with {taken}")).to_be_enabled()
    dialog.get_by_role("button", name="Search with 2 photos").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#shots figcaption")).to_have_text(["photo 1.jpg", "photo 2.jpg"])
    expect(page.locator(".card")).to_have_count(12)
    assert page.evaluate("document.getElementById('camera-video').srcObject") is None  # and its light is off


def test_a_camera_that_is_refused_is_told(page: Page) -> None:
    page.evaluate("""() => { navigator.mediaDevices.getUserMedia = async () => {
        throw new DOMException('Permission denied', 'NotAllowedError');
    }; }""")
    page.get_by_role("button", name="Take a photo").click()
    expect(page.locator("#camera-status")).to_have_text("The camera cannot be used: Permission denied")
    expect(page.get_by_role("dialog").get_by_role("button", name="Take a photo")).to_be_disabled()


def test_on_a_phone_it_is_the_phone_s_own_camera(browser: Browser, server: LiveServer) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with watched_page(browser, server.url, **phone) as page:
        expect(page.locator("#snap")).to_have_attribute("capture", "environment")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Take a photo").click()
        chooser.value.set_files(picture_file())
        expect(page.locator("#name")).to_have_text("lime")


def test_a_camera_that_is_opened_twice_before_it_is_granted_is_switched_off_twice(page: Page) -> None:
    page.evaluate("""() => {
        const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        window.grants = [];
        window.tracks = [];
        navigator.mediaDevices.getUserMedia = async (wanted) => {
            await new Promise((resolve) => window.grants.push(resolve));
            const stream = await open(wanted);
            window.tracks.push(...stream.getTracks());
            return stream;
        };
    }""")
    states = "tracks.map((track) => track.readyState)"
    take = page.get_by_role("dialog").get_by_role("button", name="Take a photo")
    for _ in range(2):
        page.get_by_role("button", name="Take a photo").click()
        expect(take).to_be_disabled()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Take a photo").click()
    for turn in range(3):
        page.evaluate("turn => grants[turn]()", turn)
        page.wait_for_function("turn => tracks.length > turn", arg=turn)
    expect(take).to_be_enabled()
    assert page.evaluate(states) == ["ended", "ended", "live"]
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.wait_for_function(f"() => {states}.every((state) => state === 'ended')")  # a moment after the dialog is gone
