from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings

from harness.base.loglines import plain
from harness.gate.verdict import Outcome
from harness.reports.content.api import ReportInput
from harness.reports.content.report import OUTCOME_WORDS, MetricLine, attention, probe_sections
from harness.reports.formats.html import _pieces, render
from harness.reports.formats.plot import gate_plot, interval_plot, pair_plot
from tests.harness.reports.inputs import by_hand, compared, lines_shown, reports
from tests.harness.reports.page import Decision, Page

COLUMNS = ("gate", "outcome", "measured", "reason")
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "header",
    "section",
    "article",
    "h1",
    "h2",
    "h3",
    "p",
    "br",
    "wbr",
    "ol",
    "li",
}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "strong", "span", "code"}
TAGS |= {"svg", "rect", "line", "circle", "text"}


@settings(max_examples=25)
@given(reports())
def test_it_shows_the_verdict_it_was_given(report: ReportInput) -> None:
    page = Page(render(report).replace("<wbr>", ""))  # where a line may break is no part of what is said
    assert page.texts["p"][0] == OUTCOME_WORDS[report.verdict.outcome]
    assert plain(report.verdict.reason) in page.texts["p"]
    tables = page.tables_of("gate")
    shown = [row for table in tables for row in zip(*map(table.column, COLUMNS), strict=True)]
    for (gate, outcome, measured, reason), item in zip(shown, report.verdict.gates, strict=True):
        wanted = Decision.of(item)
        assert (outcome, reason) == (wanted.outcome, wanted.reason)
        assert wanted.metric in gate
        assert measured.startswith(wanted.value)


@settings(max_examples=25)
@given(reports())
def test_what_can_be_done_about_a_block_is_said_once(report: ReportInput) -> None:
    blocks = [item for item in attention(report) if item.effective is Outcome.BLOCK and not item.fix]
    assert render(report).count("A gate that blocks: mend the model and audit it again") == bool(blocks)


def test_a_name_breaks_behind_a_slash_and_a_long_word_behind_underscores() -> None:
    assert _pieces("bias/group_fairness/subgroup_auc_mean <= 1") == [
        "bias/",
        "group_fairness/",
        "subgroup_auc_mean <=\N{NO-BREAK SPACE}1",
    ]
    long = "a_word_that_has_no_room_in_a_column"
    assert _pieces(long) == [f"{word}_" for word in long.split("_")[:-1]] + ["column"]


@settings(max_examples=25)
@given(reports())
def test_every_metric_is_there_and_a_missing_one_is_no_number(report: ReportInput) -> None:
    page = Page(render(report))
    metric_tables = page.tables_of("metric")
    sections = [section for section in probe_sections(report) if section.lines]
    assert len(metric_tables) == len(sections)
    assert sum(len(section.lines) for section in sections) == len(report.metrics)
    for table, section in zip(metric_tables, sections, strict=True):
        lines = lines_shown(section)
        measured = [line.metric.value for line in section.lines for _ in range(2 if line.control else 1)]
        for shown, value in zip(table.column("value"), measured, strict=True):
            assert (shown == "missing") == (value is None)
            if value is not None:
                assert float(shown) == pytest.approx(value, rel=6e-3)
        assert table.column("n") == [str(line.n) for line in lines]
        missing = [str(line.metric.missing) if isinstance(line, MetricLine) else "" for line in lines]
        assert table.column("missing") == missing


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
        "Training: claims epsilon <= 7.926 (PRV; PLD 7.926) at delta 1e-05, for each record; "
        "recomputed from its ledger; not covered: the vocab",
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
    assert render(by_hand()).count("<svg") == 4 + 3  # metrics, gates


def test_a_plot_of_what_cannot_be_negative_does_not_begin_below_nothing() -> None:
    line = next(line for section in probe_sections(by_hand()) for line in section.lines)
    metric = line.metric.model_copy(update={"value": 80.0, "low": 9.0, "high": 950.0})
    plot = interval_plot(replace(line, metric=metric, gates=()))
    assert plot is not None
    assert plot.left == "0"
    assert float(plot.right) > 950


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


def test_a_baseline_is_shown_beside_the_candidate() -> None:
    page = Page(render(compared()))
    (pairs,), (flips,) = page.tables_of("compared metric"), page.tables_of("flips of")
    assert pairs.column("compared metric") == ["toy/share/accuracy", "toy/share/flips"]
    assert pairs.column("worse by") == ["0.0500 [0.0300, 0.0700]", "0.0100 [-0.0200, 0.0400]"]
    assert pairs.column("compared") == ["990 pairs, 10 only in the candidate", "1000 pairs"]
    assert flips.rows[1:] == [["toy/share/accuracy", "60", "00ff, 01ab", "10", "0c0c"]]
    said = " ".join(text for texts in page.texts.values() for text in texts)
    assert "@production: old (20260101T000000Z-old-0000), checkpoint models/old" in said
    assert "gate 'old' is waived by Ann until 2030-01-01" in said
    assert page.tables_of("probe")[0].rows[1] == ["toy/share", "00ff", "text [masked: 40 characters]; predicted 1"]


def test_a_gate_is_plotted_on_what_it_decided_on() -> None:
    regression, undecided, _, _, plain_gate = (gate_plot(item) for item in compared().verdict.gates)
    assert regression is not None
    assert regression.allowed[0].end < regression.interval.start < regression.value < regression.interval.end
    assert undecided is not None
    assert undecided.interval.start < undecided.allowed[0].end < undecided.interval.end
    assert plain_gate is not None
    assert (plain_gate.value, plain_gate.allowed[0].start) == (0.81, 0.7)
    pair = pair_plot(compared().verdict.gates[0])
    assert pair is not None
    assert pair.baseline is not None
    assert pair.interval.end < pair.baseline
    assert pair_plot(compared().verdict.gates[4]) is None
    assert render(compared()).count('class="baseline"') == 2


@settings(max_examples=25)
@given(reports())
def test_plots_of_gates_stay_on_their_line(report: ReportInput) -> None:
    for item in report.verdict.gates:
        for plot in filter(None, (gate_plot(item), pair_plot(item))):
            ends = [plot.value, plot.interval.start, plot.interval.end, plot.baseline or 0]
            ends += [end for span in plot.allowed for end in (span.start, span.end)]
            assert all(0 <= end <= 1 for end in ends)
