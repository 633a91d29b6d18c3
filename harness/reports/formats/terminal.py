"""The report on a terminal; reads the same without colour, and fits 100 columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.api.metrics import Metric
from harness.api.probe import About
from harness.base import numbers
from harness.base.loglines import inert, plain
from harness.gate.verdict import Outcome
from harness.reports.content.api import ReportInput
from harness.reports.content.report import (
    OUTCOME_WORDS,
    MetricLine,
    ProbeSection,
    attention,
    baseline_line,
    block_advice,
    comparison_name,
    comparisons,
    gate_title,
    lost,
    matching,
    metric_notes,
    metrics_section,
    outcome_label,
    probe_sections,
    regression,
    training,
)
from harness.reports.formats.curves import sentence

_STYLES = {Outcome.PASS: "bold green", Outcome.BLOCK: "bold red", Outcome.INCONCLUSIVE: "bold yellow"}
_HEADERS = ("metric", "value", "interval", "n (missing)", "gate")
_GAP = 2
"""Blanks after each column; rich counts them for the last as well."""


def _shown(line: MetricLine) -> bool:
    return line.metric.headline or bool(line.gates)


def print_report(console: Console, report: ReportInput) -> None:
    """Metrics with their gates, what the numbers cannot tell, what did not run, and last the verdict."""
    with console.capture() as captured:
        _print(console, report)
    console.file.write(inert(captured.get()))  # not printed again: rich's own styling is in it


def print_metrics(console: Console, metrics: Sequence[Metric], about: About) -> None:
    """All metrics of one probe, their cautions and what they cannot tell; rows without an audit have no verdict."""
    section = metrics_section(metrics, about)
    with console.capture() as captured:
        console.print(_metrics_table([section], console.width, _every))
        _entries(console, "Cautions", _cautions([section], _every))
        _entries(console, "What was measured, and what that cannot tell", _limits([section]))
    console.file.write(inert(captured.get()))


def _every(_line: MetricLine) -> bool:
    return True


def _print(console: Console, report: ReportInput) -> None:
    sections = probe_sections(report)
    if sections:
        console.print(_metrics_table(sections, console.width))
    hidden = sum(not _shown(line) for section in sections for line in section.lines)
    if hidden:
        console.print(Text(f"{hidden} more {'metric is' if hidden == 1 else 'metrics are'} in the full report", "dim"))
    manifest = report.manifest
    _entries(console, "Cautions", _cautions(sections))
    _entries(console, "What was measured, and what that cannot tell", _limits(sections))
    _entries(console, "Curves", ((each.name, sentence(plot)) for each in sections for plot in each.plots))
    _entries(console, "Not applicable", manifest.not_applicable.items())
    _entries(console, "Data or tools missing", manifest.no_data.items())
    _entries(console, "Plug-ins that did not load", manifest.plugin_errors.items())
    _entries(console, "Against the baseline", _compared(report))
    _entries(console, "Rows", _rows(report))
    _entries(console, "Gates that did not pass", _failed_gates(report))
    _entries(console, "Warnings", (("", warning) for warning in report.verdict.warnings))
    _verdict(console, report)


def _metrics_table(
    sections: Sequence[ProbeSection], width: int, wanted: Callable[[MetricLine], bool] = _shown
) -> Table:
    """Columns have widths of their own: what rich makes of minima can be wider than the console, and is cut there."""
    rows = [
        [cells for line in section.lines if wanted(line) for cells in (_cells(line), *_control(line))]
        for section in sections
    ]
    least = min(width // 3, max((len(each.name) for each in sections), default=0))
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, _GAP, 0, 0))
    names = [Text(section.name, "bold") for section in sections]
    for at, (header, cells) in enumerate(zip(_HEADERS, _widths(names, rows, least, width), strict=True)):
        table.add_column(header, overflow="fold", width=cells, justify="right" if at in (1, 3) else "left")
    first_width = table.columns[0].width or width
    for name, shown in zip(names, rows, strict=True):
        table.add_row(Text(_at_joints(name.plain, first_width), "bold"))
        for first, *others in shown:
            table.add_row(Text(_at_joints(first.plain, first_width)), *others)
        if not shown:
            table.add_row(Text("  no metric"))
    return table


def _widths(names: Sequence[Text], rows: Sequence[Sequence[Sequence[Text]]], least: int, width: int) -> list[int]:
    """Width of each column: its longest line, less where the console has no room; numbers are cut last."""
    cells = [[Text(header), *(row[at] for some in rows for row in some)] for at, header in enumerate(_HEADERS)]
    cells[0] += [*names, Text("  no metric")]
    widths = [max(line.cell_len for cell in column for line in cell.split()) for column in cells]
    for at, down_to in ((0, least), (4, len("INCONCLUSIVE")), (2, 16), (0, 8)):
        over = sum(widths) + _GAP * len(widths) - width
        widths[at] = max(min(widths[at], down_to), widths[at] - max(0, over))
    return widths


def _cells(line: MetricLine) -> list[Text]:
    unit = f", {line.unit}" if line.unit not in ("", line.name) else ""  # "findings, findings" says nothing more
    some = line.metric.missing or line.metric.excluded
    n = f"{line.metric.n} ({lost(line.metric)})" if some else str(line.metric.n)
    gates = Text("\n").join(
        Text.assemble((outcome_label(item), _STYLES[item.effective]), f" {item.gate.rule}") for item in line.gates
    )
    return [Text(f"  {line.name}{unit}"), Text(line.value), Text(line.interval), Text(n), gates]


def _at_joints(name: str, width: int) -> str:
    """`name` in lines of at most `width` cells, broken behind `/`, a comma or a blank, never within a word of it.

    A word that is longer than a line is broken behind `_`, and what is still longer left to the table to fold.
    """
    lines = [""]
    for piece in _joints(name, width - 4):
        if lines[-1].strip() and cell_len(lines[-1] + piece.rstrip()) > width:
            lines.append("    ")
            piece = piece.lstrip()
        lines[-1] += piece
    return "\n".join(lines)


def _joints(name: str, most: int) -> Iterator[str]:
    for word in re.findall(r"\s*[^/,\s]*[/,]?", name):
        yield from re.findall(r"\s*[^_]*_?", word) if cell_len(word.strip()) > most else [word]


def _control(line: MetricLine) -> list[list[Text]]:
    """The row of the control, where there is one: its numbers stand beneath those of the metric."""
    control = line.control
    if control is None:
        return []
    return [[Text(f"    {control.name}"), Text(control.value), Text(control.interval), Text(f"{control.n}"), Text("")]]


def _cautions(
    sections: Iterable[ProbeSection], wanted: Callable[[MetricLine], bool] = _shown
) -> Iterator[tuple[str, str]]:
    for section in sections:
        if section.incomplete:
            yield section.name, f"did not finish: {section.incomplete}"
        noted: dict[str, list[str]] = {}
        for line in filter(wanted, section.lines):
            for note in metric_notes(line.metric):
                noted.setdefault(note, []).append(line.name)
        for note, names in noted.items():  # what holds for several metrics is said once
            alone = len(names) == 1
            yield (
                f"{section.name}/{names[0]}" if alone else section.name,
                note if alone else f"{', '.join(names)}: {note}",
            )


def _limits(sections: Iterable[ProbeSection]) -> Iterator[tuple[str, str]]:
    for section in sections:
        if section.about is not None:
            about = section.about
            yield section.name, f"{about.summary}. Source: {about.paper}. Cannot tell: {about.cannot_tell}"


def _failed_gates(report: ReportInput) -> Iterator[tuple[str, str]]:
    for item in attention(report):
        todo = f"; to do: {item.fix}" if item.fix else ""
        yield f"{gate_title(item)}: {outcome_label(item)}", f"{item.reason}{todo}"
    if advice := block_advice(report):
        yield "", advice


def _compared(report: ReportInput) -> Iterator[tuple[str, str]]:
    pairs = comparisons(report)
    if pairs and report.verdict.baseline is not None:
        yield "baseline", baseline_line(report)
    for _, each in pairs:
        flips = f"; flips: {each.flips.worse} worse, {each.flips.better} better" if each.flips is not None else ""
        able = f"; detectable: {numbers.number(each.detectable)}" if each.detectable is not None else ""
        values = f"{numbers.number(each.baseline)} -> {numbers.number(each.candidate)}"
        yield comparison_name(each), f"{values}, worse by {regression(each)}; {matching(each)}{flips}{able}"


def _rows(report: ReportInput) -> Iterator[tuple[str, str]]:
    for each in report.examples:
        yield f"{each.probe} {each.case_id}", "; ".join(f"{name}={cell}" for name, cell in each.cells)


def _entries(console: Console, title: str, entries: Iterable[tuple[str, str]]) -> None:
    """A titled list of names with texts; nothing when it is empty."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    most = max(24, console.width * 2 // 5)
    table.add_column(overflow="fold", max_width=most)
    table.add_column(overflow="fold", ratio=1)
    for name, text in entries:
        table.add_row(Text(_at_joints(f"  {plain(name)}", most)), Text(plain(text)))
    if table.row_count:
        console.print(Text(f"\n{title}", "bold"))
        console.print(table)


def _verdict(console: Console, report: ReportInput) -> None:
    verdict = report.verdict
    policy = f" (policy {plain(verdict.policy)})" if verdict.policy else ""
    console.print(Text.assemble(("\nTraining: ", "bold"), training(report.manifest), overflow="fold"))
    for permission in report.manifest.checkpoint.permissions:
        console.print(Text(plain(permission), "yellow", overflow="fold"))
    head = Text.assemble(("\nVerdict: ", "bold"), (OUTCOME_WORDS[verdict.outcome], _STYLES[verdict.outcome]), policy)
    console.print(head)
    console.print(Text(plain(verdict.reason), overflow="fold"))
