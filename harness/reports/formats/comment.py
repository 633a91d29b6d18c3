"""The verdict as a comment on a pull request: one line first, then only what needs a reader, the rest folded away.

A hidden marker names audit and policy, so that whoever posts the comment finds the earlier one and updates it in place.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence

from harness.base import numbers
from harness.base.loglines import plain
from harness.gate.policy import Severity
from harness.gate.verdict import Comparison, GateResult
from harness.reports.content.api import ReportInput
from harness.reports.content.identity import identity
from harness.reports.content.report import (
    OUTCOME_WORDS,
    attention,
    baseline_line,
    comparison_name,
    comparisons,
    gate_name,
    matching,
    outcome_label,
    probe_sections,
    provenance,
    regression,
)
from harness.reports.formats.markdown import code, table, text

suffix = ".comment.md"

LONGEST = 60_000
"""Characters; GitHub refuses comments of more than 65,536."""
_MOST = 20
"""Gates listed before the fold."""
_REGRESSIONS = 5
_CALLS = re.compile(r"@(?=\w)|#(?=\d)|\bGH-(?=\d)")
"""What notifies people or links issues even where Markdown's own marks are escaped."""


def render(report: ReportInput) -> str:
    """The comment with its marker."""
    return f"{marker(report)}\n{body(report)}"


def marker(report: ReportInput) -> str:
    """A line that no reader sees, the same for every audit of this name and checkpoint under this policy."""
    named = json.dumps([identity(report), report.verdict.policy])
    return f"<!-- assay-verdict {hashlib.sha256(named.encode()).hexdigest()[:16]} -->"


def body(report: ReportInput, longest: int = LONGEST) -> str:
    """Verdict, what did not pass, then folded the rest; folds that would make it longer than `longest` are left out."""
    blocks = _head(report, longest)
    length = sum(len(block) + 2 for block in blocks)
    left_out = []
    for title, content in _folds(report):
        block = f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"
        if length + len(block) > longest:
            left_out.append(title)
            continue
        blocks.append(block)
        length += len(block) + 2
    if left_out:
        blocks.append(f"Too long for a comment, see the full report: {', '.join(left_out)}.")
    return "\n\n".join(blocks).replace("<!--", "<!\u200b--") + "\n"  # no text can pass for a marker


def _verdict(report: ReportInput) -> str:
    verdict = report.verdict
    return f"**{OUTCOME_WORDS[verdict.outcome]}** {quiet(report.manifest.name)}: {quiet(verdict.reason, 600)}"


def _head(report: ReportInput, longest: int) -> list[str]:
    """The verdict and, as far as there is room, the gates that did not pass and the biggest regressions."""
    found = [item for item in attention(report) if item.severity is not Severity.INFO]
    worse = [pair for pair in comparisons(report) if (pair[1].regression or 0) > 0]
    blocks = [_verdict(report)]
    for most in (_MOST, _MOST // 4, 1):
        parts = [_gate_table(found[:most])] if found else []
        if len(found) > most:
            parts.append(f"and {len(found) - most} more that did not pass")
        if worse:
            parts += ["Biggest regressions against the baseline:", comparison_table(worse[: min(most, _REGRESSIONS)])]
        if sum(len(part) + 2 for part in [*blocks, *parts]) < longest:
            return [*blocks, *parts]
    return blocks


def _folds(report: ReportInput) -> Iterator[tuple[str, str]]:
    """Title and content; titles are our own words."""
    gates = report.verdict.gates
    if gates:
        yield f"All gates ({len(gates)})", _gate_table(gates)
    compared = comparisons(report)
    if compared:
        yield (
            f"Against the baseline ({len(compared)})",
            f"{quiet(baseline_line(report))}\n\n{comparison_table(compared)}",
        )
    if report.verdict.warnings:
        yield "Warnings", "\n".join(f"- {quiet(warning)}" for warning in report.verdict.warnings)
    sections = probe_sections(report)
    limits = [(section.name, section.about.cannot_tell) for section in sections if section.about is not None]
    if limits:
        yield "What this cannot tell", _list(limits)
    unfinished = [(section.name, f"did not finish, {section.incomplete}") for section in sections if section.incomplete]
    absent = [*report.manifest.not_applicable.items(), *unfinished]
    if absent:
        yield "What did not run", _list(absent)
    if report.manifest.no_data:
        yield "Data or tools missing", _list(report.manifest.no_data.items())
    entries = [(quiet(label), code(value)) for label, value in provenance(report)]
    yield "Provenance", table(("what", "value"), entries)


def _list(entries: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {code(_cut(name, 200))}: {quiet(value)}" for name, value in entries)


def _gate_table(results: Iterable[GateResult]) -> str:
    return table(("outcome", "gate", "metric", "rule", "measured", "why"), [_row(item) for item in results])


def _row(item: GateResult) -> Sequence[str]:
    bounded = item.low is not None or item.high is not None
    measured = f"{numbers.number(item.value)} {numbers.interval(item.low, item.high) if bounded else ''}"
    return (
        f"**{outcome_label(item)}**",
        quiet(item.gate.id, 200),
        code(_cut(gate_name(item), 200)),
        code(item.gate.rule),
        text(f"{measured.strip()}, n={item.n}"),
        quiet(f"{item.reason}. To do: {item.fix}" if item.fix else item.reason, 400),
    )


def comparison_table(pairs: Iterable[tuple[GateResult, Comparison]]) -> str:
    """Candidate beside baseline, how much worse, flipped cases and the smallest regression the data could show."""
    header = ("metric", "candidate", "baseline", "worse by", "flips (worse, better)", "detectable", "compared")
    rows = [
        (
            code(_cut(comparison_name(each), 200)),
            numbers.number(each.candidate),
            numbers.number(each.baseline),
            quiet(regression(each), 300),
            f"{each.flips.worse}, {each.flips.better}" if each.flips else "",
            numbers.number(each.detectable) if each.detectable is not None else "",
            matching(each),
        )
        for _, each in pairs
    ]
    return table(header, rows)


def quiet(value: object, longest: int = 1000) -> str:
    """`value` as Markdown that notifies nobody, cut where it is too long."""
    return text(_CALLS.sub("\\g<0>\u200b", _cut(plain(value), longest)))


def _cut(line: str, longest: int) -> str:
    return line if len(line) <= longest else f"{line[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"
