"""Each page in a real browser: it loads without an error of ours, links restore it, and no text of a row is run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dashboards.browser.conftest import BLOCKED, PASSED, Visit, grave_faults

pytestmark = pytest.mark.slow

PAGES = {
    "": "1 passed",
    "audits": "2 of 2 audits",
    f"audit?audit={BLOCKED}": "robust",
    f"compare?audit={PASSED}&against={BLOCKED}": "sentiment against",
    f"attacks?audit={BLOCKED}&probe=adversarial/deepwordbug": "3 of 3 texts",
    f"bias?audit={BLOCKED}": "choose one by name",
    f"quality?audit={BLOCKED}&view=answers": "of which",
    f"probe?audit={BLOCKED}&probe=quality/classification&view=distribution": "median",
    f"rows?audit={BLOCKED}&probe=quality/classification": "300 of 300 rows",
    f"report?audit={BLOCKED}": "Download report.html",
    "live": "No audit is running.",
    "start": "Here you may look at audits",
}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_without_an_error_of_ours(visit: Visit, path: str) -> None:
    tab = visit.go(path, PAGES[path])
    assert tab.locator("[data-testid=stException]").count() == 0
    assert visit.ours() == []
    title = path.split("?")[0].capitalize() or "Releases"
    assert title in tab.title()


def test_no_text_of_a_row_is_run_or_read_as_markup(visit: Visit) -> None:
    tab = visit.go(f"attacks?audit={BLOCKED}&probe=adversarial/deepwordbug&case=case-0", "case case-0")
    tab.get_by_test_id("stCheckbox").get_by_text("Show texts").click()
    tab.get_by_text("onerror=alert(1)").first.wait_for()
    assert tab.locator("img[src=x]").count() == 0
    assert tab.get_by_text("[link](http://evil.example)").count() > 0
    assert tab.locator("a[href*='evil.example']").count() == 0
    assert visit.ours() == []


def test_a_filter_changes_the_address_and_a_link_restores_it(visit: Visit) -> None:
    tab = visit.go(f"rows?audit={BLOCKED}&probe=quality/classification", "300 of 300 rows")
    tab.get_by_label("Text contains").fill("was dull")
    tab.keyboard.press("Enter")
    tab.get_by_text("of 300 rows").filter(has_not_text="300 of 300").first.wait_for()
    said = tab.get_by_text("of 300 rows").first.inner_text()
    assert "contains=" in tab.url
    link = tab.url.partition("/rows")[2]
    again = visit.go(f"rows{link}", said)
    assert again.get_by_label("Text contains").input_value() == "was dull"


def test_the_keyboard_leads_from_one_attack_to_the_next(visit: Visit) -> None:
    tab = visit.go(f"attacks?audit={BLOCKED}&probe=adversarial/deepwordbug", "case case-0")
    tab.keyboard.press("ArrowRight")
    tab.get_by_text("case case-1").wait_for()
    assert "case=case-1" in tab.url
    tab.keyboard.press("ArrowLeft")
    tab.get_by_text("case case-0").wait_for()


def test_a_cell_of_the_map_leads_to_its_rows_and_its_link_restores_it(visit: Visit) -> None:
    tab = visit.go(f"bias?audit={BLOCKED}", "choose one by name")
    tab.locator("[data-testid=stVegaLiteChart]").first.click(position={"x": 500, "y": 200})
    tab.get_by_text("Rows behind this cell: 1").wait_for()
    assert "groups.across=" in tab.url
    assert "film" not in tab.url
    again = visit.go(f"bias{tab.url.partition('/bias')[2]}", "Rows behind this cell: 1")
    assert again.get_by_test_id("stSelectbox").filter(has_text="template").count() > 0


def test_a_cell_can_be_chosen_by_keyboard(visit: Visit) -> None:
    tab = visit.go(f"bias?audit={BLOCKED}", "choose one by name")
    for label, typed in (("axis", "religion"), ("template", "template 2")):
        tab.get_by_label(label, exact=True).focus()
        tab.keyboard.type(typed)
        tab.keyboard.press("Enter")
        tab.wait_for_timeout(1000)
    tab.get_by_text("Rows behind this cell: 1").wait_for()
    assert "groups.across=" in tab.url


def test_hostile_templates_on_the_axes_of_the_map_stay_text(visit: Visit) -> None:
    tab = visit.go(f"bias?audit={BLOCKED}", "choose one by name")
    tab.get_by_test_id("stCheckbox").get_by_text("Show texts").click()
    tab.locator("text=onerror=alert(1)").first.wait_for()
    assert tab.locator("img[src=x]").count() == 0
    assert tab.locator("a[href*='evil.example']").count() == 0
    assert visit.ours() == []


@pytest.mark.parametrize("settings", [{"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}])
def test_the_map_dark_and_narrow(browser: Any, address: str, settings: dict[str, Any]) -> None:
    visit = Visit(browser, address, **settings)
    tab = visit.go(f"bias?audit={BLOCKED}", "choose one by name")
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    chart = tab.locator("[data-testid=stVegaLiteChart]").first.bounding_box()
    assert chart["width"] > 0.8 * tab.viewport_size["width"]
    assert visit.ours() == []
    visit.close()


@pytest.mark.parametrize("settings", [{"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}])
def test_dark_and_narrow(browser: Any, address: str, settings: dict[str, Any]) -> None:
    visit = Visit(browser, address, **settings)
    tab = visit.go("", "1 passed")
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    colour = tab.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    assert (colour != "rgb(255, 255, 255)") == ("color_scheme" in settings)
    assert visit.ours() == []
    visit.close()


@pytest.mark.parametrize(("locale", "said"), [("en-GB", "2 of 2 audits"), ("zh-CN", "审计列表")])
def test_the_menu_shows_every_page_at_1280_and_behind_its_button_on_a_phone(
    browser: Any, address: str, locale: str, said: str
) -> None:
    visit = Visit(browser, address, locale=locale)
    tab = visit.go("audits", said)
    last = tab.locator("[data-testid=stTopNavLink][href*=report]")
    last.wait_for()
    tab.wait_for_function("!document.querySelector('[data-testid=stTopNavSection]')?.offsetParent")
    links = tab.locator("[data-testid=stTopNavLink]")
    places = [links.nth(index).bounding_box() for index in range(links.count())]
    assert len(places) == 13
    ends = [round(place["x"] + place["width"]) for place in places]
    assert ends == sorted(set(ends)), "some lie on each other: folded away"
    assert ends[-1] < tab.locator(".st-key-language").bounding_box()["x"]
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.get_by_test_id("stExpandSidebarButton").click()
    assert tab.get_by_test_id("stSidebarNavLink").count() == 13
    tab.get_by_test_id("stSidebarNavLink").last.scroll_into_view_if_needed()
    tab.get_by_test_id("stSidebarNavLink").last.click()
    tab.wait_for_url("**/report**")
    visit.close()


@pytest.mark.parametrize("path", PAGES)
def test_no_serious_accessibility_fault(visit: Visit, path: str) -> None:
    tab = visit.go(path, PAGES[path])
    tab.wait_for_timeout(1500)  # charts are drawn after the page
    assert grave_faults(tab) == []
