"""The page Memorization in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.dashboards.browser.conftest import Visit, grave_faults, served
from tests.dashboards.memorization.kept import AUDIT, make_kept

pytestmark = pytest.mark.slow

PAGE = f"memorization?audit={AUDIT}"
LAST = "What was spent"
CHARTS = "[data-testid=stVegaLiteChart] svg, [data-testid=stVegaLiteChart] canvas"
SETTINGS: list[dict[str, Any]] = [{}, {"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[str]:
    """A dashboard over an audit of what a training kept, with what lies beside its checkpoint."""
    output = tmp_path_factory.mktemp("kept")
    make_kept(output)
    with served(output, tmp_path_factory.mktemp("cache")) as found:
        yield found


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_is_drawn_wide_dark_and_narrow_without_an_error_of_ours(
    browser: Any, kept: str, settings: dict[str, Any]
) -> None:
    visit = Visit(browser, kept, **settings)
    tab = visit.go(PAGE, LAST)
    tab.set_viewport_size({"width": tab.viewport_size["width"], "height": 9000})  # all of it, or charts stay unloaded
    tab.locator(CHARTS).nth(8).wait_for(timeout=60_000)  # nine charts: two of what was spent, one of each other part
    assert tab.locator("[data-testid=stException], [data-testid=stAlertContentError]").count() == 0
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert "Memorization" in tab.title()
    assert visit.ours() == []
    visit.close()


def test_texts_are_shown_on_demand_as_text(browser: Any, kept: str) -> None:
    visit = Visit(browser, kept)
    tab = visit.go(PAGE, LAST)
    assert tab.get_by_text("onerror=alert").count() == 0
    toggles = tab.get_by_test_id("stCheckbox").get_by_text("Show texts")
    toggles.last.scroll_into_view_if_needed()
    toggles.last.click()
    tab.get_by_text("Their texts are hidden.").nth(1).wait_for(state="detached", timeout=60_000)
    assert tab.locator("img[src=x]").count() == 0
    assert tab.locator("a[href*='evil.example']").count() == 0
    assert visit.ours() == []
    visit.close()


@pytest.mark.parametrize("settings", SETTINGS[:2])
def test_no_serious_accessibility_fault(browser: Any, kept: str, settings: dict[str, Any]) -> None:
    visit = Visit(browser, kept, **settings)
    tab = visit.go(PAGE, LAST)
    tab.set_viewport_size({"width": 1280, "height": 9000})
    tab.locator(CHARTS).nth(8).wait_for(timeout=60_000)
    tab.wait_for_timeout(1500)
    assert grave_faults(tab) == []
    visit.close()
