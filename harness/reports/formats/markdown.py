"""The report as Markdown (GitHub flavour), for pull requests and archives; text from outside is set literally."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from harness.base import numbers
from harness.base.loglines import plain
from harness.reports.content.api import Example, ReportInput
from harness.reports.content.report import (
    EXAMPLES_NOTE,
    FLIPS_SHOWN,
    OUTCOME_WORDS,
    MetricLine,
    ProbeSection,
    baseline_line,
    comparison_name,
    comparisons,
    gate_name,
    lost,
    matching,
    metric_notes,
    outcome_label,
    probe_sections,
    provenance,
    regression,
    training,
)
from harness.reports.formats.curves import sentence

suffix = ".md"

_SPECIAL = re.compile(r"[\\`*_\[\]<>#~&$]|:(?=//)|(?<=www)\.")
"""What Markdown reads inside a line; no outside text begins a line, so list and heading marks need no escape."""
_ENDS_CODE = re.compile("[`|]")
_NOT_WORD = re.compile(r"(?! )[\W_]")


def render(report: ReportInput) -> str:
    """The whole report: verdict first, then gates, metrics by probe with their limits, and provenance."""
    sections = probe_sections(report)
    blocks = [
        *_head(report),
        *_gates(report),
        *_warnings(report),
        *_baseline(report),
        "## Metrics",
        *(block for section in sections for block in _probe(section)),
        *_examples(report),
        *_entries("Not applicable", report.manifest.not_applicable.items()),
        *_entries("Data or tools missing", report.manifest.no_data.items()),
        *_entries("Plug-ins that did not load", report.manifest.plugin_errors.items()),
        "## Provenance",
        table(("what", "value"), [(text(label), code(value)) for label, value in provenance(report)]),
    ]
    return "\n\n".join(blocks) + "\n"


def text(value: object) -> str:
    """`value` on one line, every character with a meaning in Markdown escaped."""
    return _SPECIAL.sub(r"\\\g<0>", plain(value)).replace("|", "&#124;")


def code(value: object) -> str:
    """`value` on one line as code; by HTML where a backtick or bar would end the span or the table cell."""
    content = plain(value)
    if not content:
        return ""
    if _ENDS_CODE.search(content) is None:
        return f"`{content}`"
    return f"<code>{_NOT_WORD.sub(lambda match: f'&#{ord(match[0])};', content)}</code>"


def _head(report: ReportInput) -> Iterator[str]:
    verdict = report.verdict
    yield f"# {OUTCOME_WORDS[verdict.outcome]}: {text(report.manifest.name)}"
    yield f"Reason: {text(verdict.reason)}"
    yield f"Policy: {text(verdict.policy) or 'none'}. Checkpoint: {code(report.manifest.checkpoint.source)}"
    yield f"Training: {text(training(report.manifest))}"


def _gates(report: ReportInput) -> Iterator[str]:
    if not report.verdict.gates:
        return
    yield "## Gates"
    yield table(
        ("gate", "outcome", "metric", "rule", "value", "interval", "n", "reason"),
        [
            (
                text(item.gate.id) + (f"<br>{text(item.gate.reason)}" if item.gate.reason else ""),
                f"**{outcome_label(item)}**",
                code(gate_name(item)),
                code(item.gate.rule),
                numbers.number(item.value),
                text(numbers.interval(item.low, item.high)),
                str(item.n),
                text(item.reason) + (f"<br>To do: {text(item.fix)}" if item.fix else ""),
            )
            for item in report.verdict.gates
        ],
    )


def _warnings(report: ReportInput) -> Iterator[str]:
    if report.verdict.warnings:
        yield "## Warnings"
        yield "\n".join(f"- Warning: {text(warning)}" for warning in report.verdict.warnings)


def _baseline(report: ReportInput) -> Iterator[str]:
    pairs = comparisons(report)
    if not pairs:
        return
    yield "## Against the baseline"
    if report.verdict.baseline is not None:
        yield f"Baseline: {text(baseline_line(report))}"
    header = ("compared metric", "candidate", "baseline", "worse by", "detectable", "compared", "test")
    rows = [
        (
            code(comparison_name(each)),
            numbers.number(each.candidate),
            numbers.number(each.baseline),
            text(regression(each)),
            numbers.number(each.detectable) if each.detectable is not None else "",
            matching(each),
            text(each.test),
        )
        for _, each in pairs
    ]
    yield table(header, rows)
    flips = [(code(comparison_name(each)), each.flips) for _, each in pairs if each.flips is not None]
    if flips:
        yield "Flipped cases, the first of each kind:"
        found = [
            (name, str(each.worse), _ids(each.worse_ids), str(each.better), _ids(each.better_ids))
            for name, each in flips
        ]
        yield table(("flips of", "worse", "worse cases", "better", "better cases"), found)


def _ids(ids: Sequence[str]) -> str:
    return ", ".join(map(code, ids[:FLIPS_SHOWN]))


def _probe(section: ProbeSection) -> Iterator[str]:
    yield f"### {text(section.name)}"
    if section.incomplete:
        yield f"**Did not finish:** {text(section.incomplete)}"
    if section.about is not None:
        yield f"Measures: {text(section.about.summary)}. Source: {text(section.about.paper)}"
    if section.lines:
        header = ("metric", "value", "interval", "n", "missing", "unit", "better", "method", "gate")
        yield table(header, [row for line in section.lines for row in (_row(line), *_control(line))])
    else:
        yield "No metric."
    notes = [(line.name, note) for line in section.lines for note in metric_notes(line.metric)]
    if notes:
        yield "\n".join(f"- {code(name)}: {text(note)}" for name, note in notes)
    if section.plots:
        yield "\n".join(f"- {text(sentence(plot))}" for plot in section.plots)
    if section.about is not None:
        yield f"**What this cannot tell:** {text(section.about.cannot_tell)}"
    yield f"Run: {text(section.work)}"


def _row(line: MetricLine) -> tuple[str, ...]:
    gates = "<br>".join(f"**{outcome_label(item)}** {code(item.gate.rule)}" for item in line.gates)
    counts = (str(line.metric.n), lost(line.metric))
    return (
        code(line.name),
        line.value,
        text(line.interval),
        *counts,
        text(line.unit),
        line.direction,
        text(line.method),
        gates,
    )


def _control(line: MetricLine) -> Iterator[tuple[str, ...]]:
    """The row beneath a metric that has a control."""
    if line.control is not None:
        name, value, interval = text(line.control.name), line.control.value, text(line.control.interval)
        yield (name, value, interval, str(line.control.n), "", "", "", "", "")


def _examples(report: ReportInput) -> Iterator[str]:
    if not report.examples:
        return
    yield "## Rows"
    yield EXAMPLES_NOTE
    rows = [(code(each.probe), code(each.case_id), _cells(each)) for each in report.examples]
    yield table(("probe", "case", "content"), rows)


def _cells(example: Example) -> str:
    return "<br>".join(f"{text(name)}: {text(cell)}" for name, cell in example.cells)


def _entries(title: str, entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    lines = [f"- {code(name)}: {text(value)}" for name, value in entries]
    if lines:
        yield f"## {title}"
        yield "\n".join(lines)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
