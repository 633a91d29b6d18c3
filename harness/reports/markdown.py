"""The report as Markdown (GitHub flavour), for pull requests and archives; text from outside is set literally."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from harness import numbers
from harness.reports.api import ReportInput
from harness.reports.content import (
    OUTCOME_WORDS,
    MetricLine,
    ProbeSection,
    gate_name,
    metric_notes,
    plain,
    probe_sections,
    provenance,
    training,
)

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
        "## Metrics",
        *(block for section in sections for block in _probe(section)),
        *_entries("Not applicable", report.manifest.not_applicable.items()),
        *_entries("Plug-ins that did not load", report.manifest.plugin_errors.items()),
        "## Provenance",
        _table(("what", "value"), [(text(label), code(value)) for label, value in provenance(report)]),
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
    yield _table(
        ("gate", "outcome", "metric", "rule", "value", "interval", "n", "reason"),
        [
            (
                text(item.gate.id) + (f"<br>{text(item.gate.reason)}" if item.gate.reason else ""),
                f"**{OUTCOME_WORDS[item.outcome]}**",
                code(gate_name(item)),
                code(item.gate.rule),
                numbers.number(item.value),
                text(numbers.interval(item.low, item.high)),
                str(item.n),
                text(item.reason),
            )
            for item in report.verdict.gates
        ],
    )


def _probe(section: ProbeSection) -> Iterator[str]:
    yield f"### {text(section.name)}"
    if section.incomplete:
        yield f"**Did not finish:** {text(section.incomplete)}"
    if section.about is not None:
        yield f"Measures: {text(section.about.summary)}. Source: {text(section.about.paper)}"
    if section.lines:
        header = ("metric", "value", "interval", "n", "missing", "unit", "better", "method", "gate")
        yield _table(header, [_row(line) for line in section.lines])
    else:
        yield "No metric."
    notes = [(line.name, note) for line in section.lines for note in metric_notes(line.metric)]
    if notes:
        yield "\n".join(f"- {code(name)}: {text(note)}" for name, note in notes)
    if section.about is not None:
        yield f"**What this cannot tell:** {text(section.about.cannot_tell)}"
    yield f"Run: {text(section.work)}"


def _row(line: MetricLine) -> tuple[str, ...]:
    gates = "<br>".join(f"**{OUTCOME_WORDS[item.outcome]}** {code(item.gate.rule)}" for item in line.gates)
    counts = (str(line.metric.n), str(line.metric.missing))
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


def _entries(title: str, entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    lines = [f"- {code(name)}: {text(value)}" for name, value in entries]
    if lines:
        yield f"## {title}"
        yield "\n".join(lines)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
