from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt

from harness.base.loglines import plain
from harness.errors import UsageError
from harness.reports.content.api import ReportInput
from harness.reports.content.report import OUTCOME_WORDS, outcome_label
from harness.reports.formats import step_summary
from harness.reports.formats.comment import LONGEST, body, marker, quiet, render
from tests.harness.reports.inputs import HOSTILE, by_hand, compared, manifest, reports
from tests.harness.reports.page import Page

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
TAGS = {"p", "strong", "code", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "details", "summary"}
CALL = re.compile(r"@\w|#\d|\bGH-\d")


@settings(max_examples=25)
@given(reports())
def test_the_verdict_first_and_no_text_becomes_markup_or_a_call(report: ReportInput) -> None:
    comment = render(report)
    first, _, rest = comment.partition("\n")
    assert first == marker(report)
    assert rest.startswith(f"**{OUTCOME_WORDS[report.verdict.outcome]}** ")
    assert comment.count("<!--") == 1
    page = Page(READER.render(rest))
    assert set(page.tags) <= TAGS
    assert not page.attributes
    outside = [text for tag, texts in page.texts.items() if tag != "code" for text in texts]
    assert not CALL.search("\n".join(outside))
    tables = page.tables_of("outcome")
    if report.verdict.gates:
        assert tables[-1].column("outcome") == [outcome_label(item) for item in report.verdict.gates]
    else:
        assert not tables


def test_only_what_matters_stands_before_the_fold() -> None:
    before, _, after = render(compared()).partition("<details>")
    page = Page(READER.render(before.partition("\n")[2]))
    gates, regressions = page.tables
    assert gates.column("gate") == ["no worse", "flips", "auc", "old"]
    assert gates.column("outcome") == ["BLOCK", "INCONCLUSIVE", "BLOCK (warning)", "BLOCK (waived)"]
    assert regressions.column("metric") == ["toy/share/accuracy", "toy/share/flips"]
    assert regressions.column("worse by") == ["0.0500 [0.0300, 0.0700]", "0.0100 [-0.0200, 0.0400]"]
    assert regressions.column("flips (worse, better)") == ["60, 10", ""]
    assert "good" not in before
    assert "whether it matters" in after
    assert "waived by Ann" in after
    assert "@\u200bproduction: old" in after.replace("\\", "")


def test_the_marker_is_that_of_audit_and_policy() -> None:
    report = by_hand()
    later = replace(report, manifest=manifest(["toy/share"], audit_id="later"))
    assert marker(later) == marker(report)
    assert marker(replace(report, manifest=manifest(["toy/share"], name="other"))) != marker(report)
    other = replace(report, verdict=report.verdict.model_copy(update={"policy": "other"}))
    assert marker(other) != marker(report)
    elsewhere = report.manifest.checkpoint.model_copy(update={"source": "runs/b"})
    assert marker(replace(report, manifest=report.manifest.model_copy(update={"checkpoint": elsewhere}))) != marker(
        report
    )  # two models of one name in one pull request: a pass of the second must not stand in place of the first's block
    assert re.fullmatch(r"<!-- assay-verdict [0-9a-f]{16} -->", marker(report))


@pytest.mark.parametrize("count", [0, 1, 300, 1000])
@pytest.mark.parametrize("reason", ["short", "|<&" * 100])
def test_it_is_never_too_long_for_github(count: int, reason: str) -> None:
    report = by_hand()
    gates = tuple(item.model_copy(update={"reason": reason}) for item in report.verdict.gates) * (count // 4)
    long = replace(report, verdict=report.verdict.model_copy(update={"gates": gates, "reason": reason * 9}))
    comment = render(long)
    assert len(comment) <= LONGEST + 500
    assert comment.splitlines()[1].startswith("**BLOCK**")
    assert ("see the full report: All gates" in comment) == (count >= 300 and len(body(long, 10**9)) > LONGEST)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_reads_as_itself(hostile: str) -> None:
    page = Page(READER.render(f"x {quiet(hostile)}"))
    said = " ".join(text for texts in page.texts.values() for text in texts)
    assert page.tags == ["p"]
    assert said.replace("\u200b", "") == plain(f"x {plain(hostile)}")


def test_the_step_summary_is_appended_where_github_says(tmp_path: Path) -> None:
    page = step_summary.render(by_hand())
    assert page.startswith("**BLOCK** toy: ")
    assert "<!--" not in page
    file = tmp_path / "summary.md"
    file.write_text("before\n")
    assert step_summary.append(page, {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text() == f"before\n{page}\n"
    assert not step_summary.append(page, {})
    with pytest.raises(UsageError, match="cannot be written"):
        step_summary.append(page, {"GITHUB_STEP_SUMMARY": str(tmp_path / "no" / "summary.md")})
