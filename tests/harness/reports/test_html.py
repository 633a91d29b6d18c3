from __future__ import annotations

import re

import pytest
from hypothesis import given, settings

from harness.numbers import number
from harness.reports.api import ReportInput
from harness.reports.content import OUTCOME_WORDS, gate_name, plain, probe_sections
from harness.reports.html import render
from harness.reports.plot import interval_plot
from tests.harness.reports.inputs import by_hand, reports
from tests.harness.reports.page import Page

TAGS = {"html", "head", "meta", "title", "style", "body", "header", "section", "article", "h1", "h2", "h3", "p", "br"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "strong", "span", "code"}
TAGS |= {"svg", "rect", "line", "circle", "text"}


@settings(max_examples=25)
@given(reports())
def test_it_shows_the_verdict_it_was_given(report: ReportInput) -> None:
    page = Page(render(report))
    assert page.texts["p"][0] == OUTCOME_WORDS[report.verdict.outcome]
    assert plain(report.verdict.reason) in page.texts["p"]
    gates = report.verdict.gates
    if gates:
        table = page.tables[0]
        assert table.column("outcome") == [OUTCOME_WORDS[item.outcome] for item in gates]
        assert table.column("metric") == [gate_name(item) for item in gates]
        assert table.column("value") == [number(item.value) for item in gates]
        assert table.column("reason") == [plain(item.reason) for item in gates]


@settings(max_examples=25)
@given(reports())
def test_every_metric_is_there_and_a_missing_one_is_no_number(report: ReportInput) -> None:
    page = Page(render(report))
    metric_tables = page.tables[1:] if report.verdict.gates else page.tables
    sections = [section for section in probe_sections(report) if section.lines]
    assert len(metric_tables) == len(sections)
    assert sum(len(section.lines) for section in sections) == len(report.metrics)
    for table, section in zip(metric_tables, sections, strict=True):
        for shown, line in zip(table.column("value"), section.lines, strict=True):
            assert (shown == "missing") == (line.metric.value is None)
            if line.metric.value is not None:
                assert float(shown) == pytest.approx(line.metric.value, rel=6e-3)
        assert table.column("n") == [str(line.metric.n) for line in section.lines]
        assert table.column("missing") == [str(line.metric.missing) for line in section.lines]


@settings(max_examples=25)
@given(reports())
def test_no_text_becomes_markup_or_a_request(report: ReportInput) -> None:
    html = render(report)
    page = Page(html)
    assert set(page.tags) <= TAGS
    names = {name for name, _ in page.attributes}
    assert not names & {"href", "src", "style", "srcset", "action"}
    assert not [name for name in names if name.startswith("on")]
    assert "url(" not in "".join(page.texts["style"])
    assert "@import" not in "".join(page.texts["style"])
    assert "\x1b" not in html
    assert "\u202e" not in html


def test_it_says_everything_an_auditor_asks() -> None:
    page = Page(render(by_hand()))
    said = " ".join(text for texts in page.texts.values() for text in texts)
    for text in [
        "whether it matters",
        "Somebody 2020",
        "needs a masked LM",
        "the limit of 5 minutes was reached",
        "only one group is in the data",
        "promised to users",
        "ImportError: no y",
        "Training: claims epsilon <= 7.926 (PRV; PLD 7.926) at delta 1e-05, for each record; not covered: the vocab",
        "assay run audit.yaml",
        "f" * 64,
        "texts.csv, 200 rows, digest " + "d" * 64,
        "torch 2.0",
        "0123456789",
    ]:
        assert text in said, text
    assert page.tables[0].column("outcome") == ["PASS", "BLOCK", "INCONCLUSIVE", "INCONCLUSIVE"]
    assert page.tables[1].column("gate") == ["PASS <= 0.35", "BLOCK <= 0.35", "INCONCLUSIVE <= 0.1", ""]


def test_plots_put_value_interval_and_rule_on_one_line() -> None:
    lines = [line for section in probe_sections(by_hand()) for line in section.lines]
    plot = interval_plot(lines[0])
    assert plot is not None
    assert (plot.left, plot.right, plot.value) == ("0", "1", 0.25)
    assert (plot.interval.start, plot.interval.end) == (0.2, 0.3)
    assert [(span.start, span.end) for span in plot.allowed] == [(0.0, 0.35)]
    assert interval_plot(lines[2]) is None
    assert render(by_hand()).count("<svg") == 4


@settings(max_examples=25)
@given(reports())
def test_plots_stay_on_their_line(report: ReportInput) -> None:
    for section in probe_sections(report):
        for plot in filter(None, map(interval_plot, section.lines)):
            assert 0 <= plot.interval.start <= plot.interval.end <= 1
            assert 0 <= plot.value <= 1
            assert all(0 <= span.start <= span.end <= 1 for span in plot.allowed)
    for width in re.findall(r'width="(-?[\d.a-z]+)" height="16"', render(report)):
        assert 0 <= float(width) <= 200
