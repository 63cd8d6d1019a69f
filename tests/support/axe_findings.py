"""What axe-core has against a page. It needs a context with `bypass_csp`: the page's own policy keeps it out."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def serious_findings(page: Page) -> list[tuple[str, list[str]]]:
    """What axe-core finds that keeps people out: rule and places."""
    found = Axe().run(page).response
    assert len(found["passes"]) > 10  # it did look
    return [
        (violation["id"], [node["html"] for node in violation["nodes"]])
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
