"""Each page in Chinese in a real browser: no text of the page's own is left in English, and the language stays."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.base.language import PAGES as CATALOGUE
from tests.catalogues.collect import read
from tests.dashboards.browser.conftest import BLOCKED, PASSED, Visit

pytestmark = pytest.mark.slow

PAGES = {
    "": "发布",
    "audits": "审计列表",
    f"audit?audit={BLOCKED}": "注意事项",
    f"audit?audit={BLOCKED}&panel=provenance": "重新运行的命令",
    f"compare?audit={PASSED}&against={BLOCKED}": "对比",
    f"attacks?audit={BLOCKED}&probe=adversarial/deepwordbug": "条文本中的",
    f"bias?audit={BLOCKED}": "偏见",
    f"memorization?audit={BLOCKED}": "记忆",
    f"quality?audit={BLOCKED}": "质量",
    f"probe?audit={BLOCKED}&probe=quality/classification": "探针",
    f"rows?audit={BLOCKED}&probe=quality/classification": "行中的",
    "live": "正在运行",
    "start": "启动",
    f"report?audit={BLOCKED}": "下载",
}
ENGLISH = {str(message.id) for message in read(CATALOGUE, "zh") if message.id and message.id != message.string}
SENTENCES = [text for text in ENGLISH if len(re.findall("[A-Za-z]{2,}", re.sub("{.*?}", "", text))) >= 3]
"""Of three words and more: nobody's data or key reads like one of these by chance."""
SAID = """() => { const said = [document.title];
  for (const walk = document.createTreeWalker(document.querySelector('[data-testid=stApp]'), NodeFilter.SHOW_TEXT);
      walk.nextNode();)
    if (!walk.currentNode.parentElement.closest('style, script')) said.push(walk.currentNode.data);
  for (const name of ['alt', 'aria-label', 'title', 'placeholder'])
    for (const each of document.querySelectorAll(`[data-testid=stApp] [${name}]`)) said.push(each.getAttribute(name));
  return said }"""
"""All that is read or read out, of drawings too."""


def pattern(text: str) -> re.Pattern[str]:
    """`text` with anything for its values."""
    return re.compile(".{1,200}?".join(map(re.escape, re.split("{.*?}", text))))


@pytest.fixture
def chinese(browser: Any, address: str) -> Any:
    visit = Visit(browser, address, locale="zh-CN")
    yield visit
    visit.close()


@pytest.mark.parametrize("path", PAGES)
def test_a_chinese_browser_reads_no_english_of_ours(chinese: Visit, path: str) -> None:
    tab = chinese.go(path, PAGES[path])
    tab.wait_for_timeout(1000)  # charts are drawn after the page
    said = {line.strip() for line in tab.locator("[data-testid=stApp]").inner_text().splitlines()}
    assert said & ENGLISH == set()
    lines = [line for line in tab.evaluate(SAID) if re.search("[A-Za-z]{2,} [A-Za-z]{2,}", line)]
    assert [line for line in lines if any(each.search(line) for each in map(pattern, SENTENCES))] == []
    assert tab.evaluate("document.documentElement.lang") == "zh"
    assert tab.locator("[data-testid=stException]").count() == 0
    assert chinese.ours() == []


def test_the_switch_is_kept_by_menu_and_address(browser: Any, address: str) -> None:
    visit = Visit(browser, address)
    tab = visit.go("audits", "2 of 2 audits")
    tab.get_by_text("中文").click()
    tab.get_by_role("heading", name="审计列表").wait_for(timeout=30_000)
    assert "lang=zh" in tab.url
    tab.get_by_test_id("stTopNavLink").get_by_text("报告").click()
    tab.get_by_text("下载").first.wait_for(timeout=30_000)
    assert "lang=zh" in tab.url
    tab.reload()
    tab.get_by_text("下载").first.wait_for(timeout=30_000)
    tab.get_by_text("English").click()
    tab.get_by_text("Download report.html").wait_for(timeout=30_000)
    assert tab.evaluate("document.documentElement.lang") == "en"
    visit.close()


def test_filters_stay_where_the_language_changes(browser: Any, address: str) -> None:
    visit = Visit(browser, address)
    tab = visit.go(f"rows?audit={BLOCKED}&probe=quality/classification&status=error", "15 of 300 rows")
    tab.get_by_text("中文").click()
    tab.get_by_text("300 行中的 15 行").first.wait_for(timeout=30_000)
    assert "status=error" in tab.url
    visit.close()


def test_the_switch_covers_nothing_on_a_phone(browser: Any, address: str) -> None:
    visit = Visit(browser, address, viewport={"width": 390, "height": 844})
    tab = visit.go("", "1 passed")
    switch, heading = tab.locator(".st-key-language").bounding_box(), tab.get_by_role("heading").first.bounding_box()
    assert switch["x"] >= 0
    assert switch["x"] + switch["width"] <= 390
    assert switch["y"] + switch["height"] <= heading["y"]
    visit.close()
