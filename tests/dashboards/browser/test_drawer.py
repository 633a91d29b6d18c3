"""The drawer of provenance in a real browser: opened by key, button and link, shut by Esc, and found in the address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.dashboards.browser.conftest import BLOCKED, Visit

pytestmark = pytest.mark.slow

AUDIT = f"audit?audit={BLOCKED}"


@pytest.fixture(params=[(1280, 900), (390, 844)])
def visit(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Visit]:
    width, height = request.param
    made = Visit(browser, address, viewport={"width": width, "height": height})
    yield made
    made.close()


def test_a_key_opens_it_beside_the_page_and_escape_shuts_it(visit: Visit) -> None:
    tab = visit.go(AUDIT, "robust")
    tab.keyboard.press("p")
    drawer = tab.get_by_role("dialog")
    drawer.get_by_text("To run it again:").wait_for()
    assert "panel=provenance" in tab.url
    tab.wait_for_timeout(1000)  # it slides in
    box, width = drawer.bounding_box(), tab.viewport_size["width"]
    assert box["x"] + box["width"] <= width
    assert box["x"] + box["width"] > 0.9 * width  # at the right edge
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.keyboard.press("Escape")
    drawer.wait_for(state="detached")
    tab.wait_for_function("!location.href.includes('panel=')")
    assert visit.ours() == []


def test_a_link_opens_it_and_its_button_does(visit: Visit) -> None:
    tab = visit.go(f"{AUDIT}&panel=provenance", "To run it again:")
    tab.keyboard.press("Escape")
    tab.get_by_role("dialog").wait_for(state="detached")
    tab.get_by_role("button", name="Provenance").click()
    tab.get_by_role("dialog").get_by_text("To run it again:").wait_for()
