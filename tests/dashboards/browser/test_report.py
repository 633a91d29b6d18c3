"""The HTML report in a real browser: on a screen, on a phone and on paper, in each language."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.base.language import LANGUAGES
from harness.reports.formats.html import render
from tests.harness.reports.inputs import by_hand, compared

pytestmark = pytest.mark.slow

SIZES = {"screen": (1280, 900), "phone": (390, 844), "paper": (1032, 730)}  # the last: A4 across, without its margins
CLIPPED = """() => [...document.querySelectorAll('td, th, p, li, dd, dt, h1, h2, h3')]
  .filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.innerText)"""
BROKEN = """() => { const found = []; const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walk.nextNode();) {
    if (node.parentElement.closest('svg, style, code')) continue;
    for (const word of node.data.matchAll(/\\b[A-Za-z0-9]{2,30}\\b/g)) {
      const range = document.createRange(); range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1) found.push(word[0]);
    } } return found }"""
"""Words of two lines; a digest of 64 letters is longer than a line of a phone."""


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_nothing_is_clipped_and_no_name_breaks_within(browser: Any, language: str, size: str, colours: str) -> None:
    width, height = SIZES[size]
    tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=colours)
    for report in (by_hand(), compared()):
        tab.set_content(render(replace(report, language=language)))
        tab.emulate_media(media="print" if size == "paper" else "screen")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate(CLIPPED) == []
        assert tab.evaluate(BROKEN) == []
    tab.close()


@pytest.mark.parametrize(("language", "words"), [("en", ("BLOCK", "To do: ")), ("zh", ("阻断", "应对："))])
@pytest.mark.parametrize("size", ["screen", "phone"])
def test_the_first_screen_says_the_verdict_what_blocks_and_what_to_do(
    browser: Any, language: str, words: tuple[str, ...], size: str
) -> None:
    width, height = SIZES[size]
    tab = browser.new_page(viewport={"width": width, "height": height})
    report = by_hand()
    tab.set_content(render(replace(report, language=language)))
    blocking = next(item.gate.id for item in report.verdict.gates if item.effective == "block")
    for said in (*words, blocking):
        assert tab.get_by_text(said).first.bounding_box()["y"] < height, said
    tab.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_metric_takes_a_few_lines_of_a_phone(browser: Any, language: str) -> None:
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.set_content(render(replace(by_hand(), language=language)))
    heights = tab.evaluate("[...document.querySelectorAll('.metrics tbody tr')].map(each => each.offsetHeight)")
    assert len(heights) > 2
    assert max(heights) < 844 / 5  # a screen shows five and more; as a list of cells a metric takes a third of one
    tab.close()


def test_paper_is_white_whatever_the_screen_is(browser: Any) -> None:
    tab = browser.new_page(color_scheme="dark")
    tab.set_content(render(by_hand()))
    tab.emulate_media(media="print")
    assert tab.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper')").strip() == "#fff"
    assert len(tab.pdf(prefer_css_page_size=True)) > 10_000
    tab.close()
