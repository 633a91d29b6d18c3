"""The table of a campaign: on a terminal of 80 columns, and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from harness.base.numbers import interval, number
from harness.campaign.result import CampaignReport, MetricRecord, Value
from harness.reports.formats.markdown import text

if TYPE_CHECKING:
    from rich.console import Group

_DIGITS = 3


def terminal(report: CampaignReport) -> Group:
    """A block per metric with a line per checkpoint, then the verdicts and what to know."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Table | Text] = []
    wide = max(len(cell.name) for cell in report.cells)
    for metric in report.metrics:
        table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 1, 0, 0))
        for title in ("", "value", "interval", "n", "difference", "interval"):
            table.add_column(title, overflow="fold", min_width=wide if not title else None, no_wrap=not title)
        for cells in (_cells(report, value) for value in metric.values):
            table.add_row(*map(Text, cells))
        parts += [Text(_title(metric), "bold"), table, Text()]
    parts += [Text(line) for line in _outcomes(report)]
    parts += [Text(line, "dim") for line in _notes(report)]
    return Group(*parts)


def markdown(report: CampaignReport) -> str:
    """The same as a page, with the cases that changed."""
    blocks = [f"# {text(report.name)}", "\n".join(f"- {text(line)}" for line in _outcomes(report))]
    heads = ("checkpoint", "value", "interval", "n", "missing", f"less {report.reference}", "interval", "pairs")
    for metric in report.metrics:
        rows = (_wide(report, value) for value in metric.values)
        blocks += [f"## {text(_title(metric))}", _table((*heads, "became right", "became wrong", "note"), rows)]
    blocks.append("\n".join(f"- {text(line)}" for line in _notes(report)))
    return "\n\n".join(blocks) + "\n"


def _title(metric: MetricRecord) -> str:
    words = {"higher": "higher is better", "lower": "lower is better", "target": "nearer to a target is better"}
    said = ", ".join(filter(None, (metric.unit, words.get(metric.better, ""))))
    return f"{metric.metric} ({said})" if said else metric.metric


def _cells(report: CampaignReport, value: Value) -> tuple[str, ...]:
    change = value.change
    ends = "" if value.value is None else interval(value.low, value.high, _DIGITS)
    own = (value.cell, number(value.value, _DIGITS), ends, str(value.n))
    if value.cell == report.reference:
        return (*own, "reference", "")
    if change is None:
        return (*own, "", "no rows")
    if change.difference is None:
        return (*own, number(None), "see notes")
    return (*own, signed(change.difference), interval(change.low, change.high, _DIGITS) if _known(value) else "unknown")


def _wide(report: CampaignReport, value: Value) -> tuple[str, ...]:
    name, shown, ends, n, difference, reach = _cells(report, value)
    change = value.change
    flips = ("", "") if change is None or change.became_right is None else (change.became_right, change.became_wrong)
    pairs = "" if change is None else str(change.n)
    note = "; ".join(filter(None, (value.note, "" if change is None else change.note)))
    return (name, shown, ends, n, str(value.missing), difference, reach, pairs, *map(str, flips), note)


def _known(value: Value) -> bool:
    return value.change is not None and value.change.low is not None


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"+{number(value, _DIGITS)}" if value > 0 else number(value, _DIGITS)


def _outcomes(report: CampaignReport) -> Iterator[str]:
    for cell in report.cells:
        if cell.failed:
            yield f"{cell.name}: failed: {cell.failed}"
        else:
            yield f"{cell.name}: {cell.verdict or 'no verdict'}, audit {cell.audit}"


def _notes(report: CampaignReport) -> Iterator[str]:
    """How the numbers were made, and why some are missing; a reason that several metrics share once."""
    yield (
        f"difference: the checkpoint less {report.reference}, over the cases that both audits have; intervals are of "
        "one metric each, not corrected for the number of metrics and checkpoints, and over cases, not over trainings"
    )
    methods = {value.change.method for metric in report.metrics for value in metric.values if value.change}
    if methods - {""}:
        yield f"intervals of differences: {'; '.join(sorted(methods - {''}))}"
    why: dict[tuple[str, str], list[str]] = {}
    for metric in report.metrics:
        for value in metric.values:
            note = (value.note if value.value is None else "") or (value.change.note if value.change else "")
            if note:
                why.setdefault((value.cell, note), []).append(metric.metric)
    for (cell, note), keys in why.items():
        yield f"{cell}, {', '.join(keys)}: {note}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [[text(head) for head in heads], ["---"] * len(heads), *([text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
