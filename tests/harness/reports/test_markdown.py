from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from harness.base.loglines import plain
from harness.reports.content.api import ReportInput
from harness.reports.content.report import OUTCOME_WORDS, MetricLine, probe_sections
from harness.reports.formats.markdown import code, render, text
from tests.harness.reports.inputs import HOSTILE, by_hand, compared, lines_shown, reports
from tests.harness.reports.page import Decision, Page

TAGS = {"h1", "h2", "h3", "p", "strong", "code", "br", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def read(markdown: str) -> Page:
    return Page(READER.render(markdown))


@settings(max_examples=25)
@given(reports())
def test_it_shows_the_verdict_it_was_given(report: ReportInput) -> None:
    markdown = render(report)
    word = OUTCOME_WORDS[report.verdict.outcome]
    assert markdown.startswith(f"# {word}: ")
    assert plain(f"Reason: {report.verdict.reason}") in plain(" ".join(read(markdown.split("\n\n")[1]).texts["p"]))
    assert read(markdown).decisions() == [Decision.of(item) for item in report.verdict.gates]


@settings(max_examples=25)
@given(reports())
def test_every_metric_is_there_and_no_text_becomes_markup(report: ReportInput) -> None:
    page = read(render(report))
    assert set(page.tags) <= TAGS
    assert not page.attributes
    metric_tables = page.tables_of("metric")
    sections = [section for section in probe_sections(report) if section.lines]
    for table, section in zip(metric_tables, sections, strict=True):
        lines = lines_shown(section)
        assert table.column("metric") == [line.name for line in lines]
        assert table.column("value") == [line.value for line in lines]
        assert table.column("n") == [str(line.n) for line in lines]
        assert table.column("method") == [line.method if isinstance(line, MetricLine) else "" for line in lines]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_reads_as_itself(hostile: str) -> None:
    check_literal(hostile)


@given(st.text(max_size=20))
def test_any_text_reads_as_itself(value: str) -> None:
    check_literal(value)


def check_literal(value: str) -> None:
    table = read(f"| a | b |\n| --- | --- |\n| x{text(value)} | {code(value)} |\n").tables[0]
    assert table.rows[1] == [plain(f"x{plain(value)}"), plain(value)]
    paragraph = read(f"Measures: {text(value)}.")
    assert paragraph.tags == ["p"]


def test_it_says_everything_an_auditor_asks() -> None:
    page = read(render(by_hand()))
    said = " ".join(said for texts in page.texts.values() for said in texts)
    for expected in [
        "whether it matters",
        "Somebody 2020",
        "needs a masked LM",
        "the limit of 5 minutes was reached",
        "only one group is in the data",
        "promised to users",
        "ImportError: no y",
        "Training: claims epsilon <= 7.926 (PRV; PLD 7.926) at delta 1e-05, for each record; "
        "recomputed from its ledger; not covered: the vocab",
        "assay run audit.yaml",
        "f" * 64,
        "texts.csv, 200 rows, digest " + "d" * 64,
    ]:
        assert expected in said, expected
    assert page.tables[1].column("gate") == ["PASS <= 0.35", "BLOCK <= 0.35", "INCONCLUSIVE <= 0.1", ""]


def test_a_baseline_is_shown_beside_the_candidate() -> None:
    page = read(render(compared()))
    (pairs,), (flips,) = page.tables_of("compared metric"), page.tables_of("flips of")
    assert pairs.column("worse by") == ["0.0500 [0.0300, 0.0700]", "0.0100 [-0.0200, 0.0400]"]
    assert flips.rows[1:] == [["toy/share/accuracy", "60", "00ff, 01ab", "10", "0c0c"]]
    assert page.tables_of("probe")[0].rows[1][2] == "text: [masked: 40 characters] predicted: 1"
    said = " ".join(text for texts in page.texts.values() for text in texts)
    assert "Warning: gate 'auc': violated" in said
    assert "Baseline: @production: old" in said
