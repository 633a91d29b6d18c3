from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboards.address import link, name_language
from harness.base.language import PAGES, language, speak, spoken
from tests.audit_folder import make_audit
from tests.catalogues.collect import read
from tests.dashboards.attacked import write_attacked
from tests.dashboards.test_pages import BLOCKED, tables, texts, visit

NAMES = {
    "board": "发布",
    "audits": "审计列表",
    "audit": "门禁",
    "compare": "比较对象",
    "attacks": "条文本中的",
    "rows": "行中的",
    "report": "全部指标与溯源信息",
}
ENGLISH = {str(message.id) for message in read(PAGES, "zh") if message.id and message.id != message.string}


@pytest.fixture(autouse=True)
def audits(output: Path) -> Path:
    """Two audits, one of them with attacked texts."""
    write_attacked(make_audit(output))
    make_audit(output, "20260103T000000Z-good-0001", passes=True)
    return output


def labels(app: AppTest) -> str:
    """What stands beside the things to click and to fill in."""
    groups = [app.selectbox, app.multiselect, app.text_input, app.number_input, app.toggle, app.button]
    return "\n".join(str(each.label) for group in groups for each in group)


def headers(app: AppTest) -> str:
    """The heads of tables of our own; those of rows are names of columns."""
    return "\n".join(str(name) for table in app.table for name in table.value.columns)


@pytest.mark.parametrize("page", NAMES)
def test_no_page_says_a_word_of_its_own_in_english(page: str) -> None:
    probe = {"attacks": "adversarial/deepwordbug", "rows": "quality/classification"}.get(page)
    app = visit(page, audit=BLOCKED, lang="zh", **({"probe": probe} if probe else {}))
    said = "\n".join((texts(app), labels(app), headers(app)))
    assert NAMES[page] in said
    assert ENGLISH & set(said.splitlines()) == set()


def test_tables_are_headed_in_the_language() -> None:
    app = visit("audits", lang="zh")
    assert list(app.dataframe[0].value["裁决"]) == ["✔ 放行", "✖ 阻断"]
    assert "门禁,结果" not in tables(visit("audit", audit=BLOCKED))
    assert "指标,数值" in tables(visit("audit", audit=BLOCKED, lang="zh"))


def test_the_verdict_is_told_in_chinese_with_the_numbers_it_was_decided_on() -> None:
    (box,) = visit("audit", audit=BLOCKED, lang="zh").error
    assert box.value.startswith("**✖ 阻断**")
    assert "5 项门禁中 1 项阻断" in box.value.replace("\\", "")


def test_the_language_stays_from_page_to_page_and_stands_in_the_address() -> None:
    app = visit("audit", audit=BLOCKED, lang="zh")
    app.query_params.clear()  # as the menu of pages leaves it
    with spoken("zh"):  # AppTest formats choices here, in another thread than the page's
        app.switch_page("screens/audits.py").run()
    assert app.query_params["lang"] == "zh"
    assert app.title[0].value == "审计列表"
    assert "lang=zh" in app.dataframe[0].value["审计"].iloc[0]


def test_an_address_with_a_language_beats_the_one_before_and_an_unknown_one_does_not() -> None:
    app = visit("audits", lang="zh")
    app.query_params["lang"] = "en"
    assert app.run().title[0].value == "Audits"
    app.query_params["lang"] = "tlh"
    assert app.run().title[0].value == "Audits"


def test_the_switch_changes_the_language_of_the_page() -> None:
    app = visit("audits")
    app.segmented_control(key="language-switch").set_value("zh").run()
    assert app.title[0].value == "审计列表"
    app.segmented_control(key="language-switch").set_value("en").run()
    assert app.title[0].value == "Audits"
    assert app.query_params["lang"] == "en"


def test_a_report_kept_from_before_is_not_shown_in_another_language() -> None:
    english = visit("report", audit=BLOCKED, format="html")
    chinese = visit("report", audit=BLOCKED, format="html", lang="zh")
    shown = [app.get("iframe")[0].proto.srcdoc for app in (english, chinese)]
    assert '<html lang="en">' in shown[0]
    assert '<html lang="zh">' in shown[1]
    assert "溯源信息" in shown[1]
    assert "BLOCK" in texts(visit("report", audit=BLOCKED, format="markdown", lang="zh"))  # machines read it


def test_links_name_the_language_only_where_the_browser_would_choose_another() -> None:
    assert link("audit", audit="a b") == "audit?audit=a+b"
    name_language("zh")
    assert link("audit", audit="a") == "audit?audit=a&lang=zh"
    name_language("")


def teardown_function() -> None:
    """The pages spoke in this thread."""
    speak("en")
    name_language("")
    assert language() == "en"
