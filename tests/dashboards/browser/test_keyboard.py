"""Every page by keyboard alone: Tab reaches what can be used, shows where it is, and leads on and back."""

from __future__ import annotations

import pytest

from tests.dashboards.browser.conftest import BLOCKED, Visit

pytestmark = pytest.mark.slow

PAGES = {
    f"bias?audit={BLOCKED}": "choose one by name",
    f"quality?audit={BLOCKED}&view=answers": "of which",
    f"probe?audit={BLOCKED}&probe=quality/classification&view=distribution": "median",
    f"memorization?audit={BLOCKED}": "Memorization",
    f"rows?audit={BLOCKED}&probe=quality/classification": "300 of 300 rows",
    "live": "No audit is running.",
    "start": "Here you may look at audits",
}
LOOK = """const look = each => { const looks = [];
  for (let at = each; at && looks.length < 5; at = at.parentElement) {
    const style = getComputedStyle(at);
    looks.push([style.outline, style.boxShadow, style.borderColor, style.backgroundColor, style.textDecoration]);
  } return JSON.stringify(looks) };"""
"""How a control and what is around it look."""
MARK = f"""() => {{ {LOOK} let n = 0;
  const main = document.querySelector('[data-testid=stMainBlockContainer]');
  const shown = each => each.offsetParent && getComputedStyle(each).visibility !== 'hidden' && !each.disabled;
  for (const each of main.querySelectorAll('button, input, textarea, a[href], summary, [role=combobox]')) {{
    const group = each.closest('[role=radiogroup], [data-testid=stElementToolbar], [data-testid=stDataFrame]');
    const heading = each.closest('[data-testid=stHeaderActionElements]');
    if (shown(each) && !group && !heading && each.tabIndex >= 0) {{
      each.dataset.wanted = n++;
      each.dataset.look = look(each);
    }}
  }} return n }}"""
"""Numbers what one Tab each should reach; of a group of choices arrows lead from one to the next."""
FOCUSED = f"""() => {{ {LOOK} const at = document.activeElement;
  return {{wanted: at.dataset.wanted ?? null, body: at === document.body, seen: at.dataset.look !== look(at),
    what: at.outerHTML.slice(0, 160)}} }}"""
MOST = 200


@pytest.mark.parametrize("path", PAGES)
def test_tab_reaches_every_control_shows_where_it_is_and_is_never_trapped(visit: Visit, path: str) -> None:
    tab = visit.go(path, PAGES[path])
    tab.wait_for_timeout(1500)  # charts and tables are drawn after the page
    wanted = tab.evaluate(MARK)
    reached: set[int] = set()
    unseen: list[str] = []
    for _step in range(MOST):
        tab.keyboard.press("Tab")
        at = tab.evaluate(FOCUSED)
        if at["body"] and (reached or not wanted):  # a viewer has nothing to use on the page Start
            break
        if at["wanted"] is not None:
            reached.add(int(at["wanted"]))
            if not at["seen"]:
                tab.wait_for_timeout(400)  # a ring may fade in
                unseen += [] if tab.evaluate(FOCUSED)["seen"] else [at["what"]]
    else:
        raise AssertionError(f"after {MOST} steps Tab has not come to the end: {at}")
    missed = [
        tab.locator(f"[data-wanted='{number}']").evaluate("each => each.outerHTML.slice(0, 160)")
        for number in sorted(set(range(wanted)) - reached)
    ]
    assert missed == []
    assert unseen == []


def test_arrows_lead_from_row_to_row_and_the_page_says_so(visit: Visit) -> None:
    tab = visit.go(f"attacks?audit={BLOCKED}&probe=adversarial/deepwordbug", "case case-0")
    for name, key in (("Previous", "←"), ("Next", "→")):
        assert key in tab.get_by_role("button", name=name).inner_text()


def test_p_opens_nothing_while_somebody_types(visit: Visit) -> None:
    tab = visit.go("audits", "2 of 2 audits")
    tab.goto(tab.url.replace("/audits", f"/audit?audit={BLOCKED}"))
    tab.get_by_role("button", name="Provenance").wait_for()
    tab.get_by_role("combobox").first.focus()
    tab.keyboard.type("p")
    tab.wait_for_timeout(1500)
    assert tab.get_by_role("dialog").count() == 0
