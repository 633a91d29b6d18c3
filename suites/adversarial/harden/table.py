"""What a hardening bought and cost as tables on a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from harness.base.numbers import interval, number, percent
from harness.campaign.changes import Change
from harness.reports.formats.markdown import text
from suites.adversarial.harden.result import Comparison, HardeningReport

_ENDS = {"after_attack_accuracy": "bought (accuracy under attack)", "accuracy": "cost (accuracy on clean texts)"}
"""Last parts of the keys of the metrics that say what was bought, and what it cost."""

_DIGITS = 3


def terminal(report: HardeningReport) -> Group:
    """The tables, and what to know of them."""
    parts: list[Table | Text] = []
    for comparison in report.comparisons:
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
        for title in (title for title in titles(comparison) if title != "interval"):  # below the difference
            table.add_column(title.replace(" ", "\n", 1), overflow="fold")
        for change in comparison.changes:
            table.add_row(*map(Text, narrow(change)))
        parts += [Text(f"after against {comparison.against}", "bold"), table, Text()]
    parts += [Text(line) for line in summary(report)]
    parts += [Text(line, "dim") for line in notes(report)]
    return Group(*parts)


def markdown(report: HardeningReport) -> str:
    """The same as a page."""
    record = report.hardening
    blocks = [f"# Hardened against {text(record.recipe)} ({text(record.method)})"]
    blocks.append("\n".join(f"- {text(line)}" for line in summary(report)))
    for comparison in report.comparisons:
        blocks.append(f"## After against {text(comparison.against)}")
        blocks.append(_table(titles(comparison), map(cells, comparison.changes)))
    blocks += ["## Rounds", _table(_ROUND, _rounds(report)), "## Checkpoints"]
    blocks.append(_table(("name", "folder", "steps", "training seconds", "audit"), _checkpoints(report)))
    blocks.append("\n".join(f"- {text(line)}" for line in notes(report)))
    return "\n\n".join(blocks) + "\n"


def titles(comparison: Comparison) -> tuple[str, ...]:
    """Heads of the columns."""
    return ("metric", "n", comparison.against, "after", "difference", "interval", "p", "became right", "became wrong")


def narrow(change: Change) -> tuple[str, ...]:
    """One row for a terminal: the probe above the metric, the difference above its interval."""
    name, n, before, after, difference, ends, *rest = cells(change)
    probe, _, metric = name.rpartition("/")
    return (f"{probe}/\n{metric}", n, before, after, f"{difference}\n{ends}", *rest)


def cells(change: Change) -> tuple[str, ...]:
    """One row of a page."""
    return (
        change.metric,
        str(change.n),
        number(change.before, _DIGITS),
        number(change.after, _DIGITS),
        _signed(change.difference),
        change.note if change.low is None else interval(change.low, change.high, _DIGITS),
        "" if change.p is None else number(change.p, 2),
        "" if change.became_right is None else str(change.became_right),
        "" if change.became_wrong is None else str(change.became_wrong),
    )


def summary(report: HardeningReport) -> Iterator[str]:
    """A sentence each on what was bought and what it cost, against every other checkpoint."""
    for comparison in report.comparisons:
        for end, word in _ENDS.items():
            for change in comparison.changes:
                if change.metric.rpartition("/")[2] == end and change.difference is not None:
                    yield f"{word}, against {comparison.against}: {_sentence(change)}"


def notes(report: HardeningReport) -> Iterator[str]:
    """How the numbers were made, and what limits them."""
    record = report.hardening
    built = f", built from {record.resources}" if record.resources else ""
    yield (
        f"{record.method}: {record.recipe} (version {record.recipe_version}{built}) on {percent(record.share)} of the "
        f"training texts in each of {len(record.rounds)} rounds; {sum(one.added for one in record.rounds)} texts added"
    )
    methods = {change.method for comparison in report.comparisons for change in comparison.changes if change.method}
    yield (
        f"differences are over the same cases in both audits, each checkpoint attacked anew; intervals of "
        f"{percent(_level(report))}: {'; '.join(sorted(methods)) or 'none'}; p: McNemar's exact test, two-sided, not "
        "corrected for the number of metrics"
    )
    yield "intervals are over texts, not over trainings: another seed of the training may give other differences"
    yield "a checkpoint hardened against one attack is shown here under the attacks of the audit, not under others"
    yield from report.notes


_ROUND = ("round", "attacked", "succeeded", "failed", "skipped", "errors", "added", "queries", "seconds")


def _rounds(report: HardeningReport) -> Iterator[tuple[str, ...]]:
    for one in report.hardening.rounds:
        yield (str(one.number), *(str(getattr(one, name)) for name in _ROUND[1:-1]), f"{one.seconds:.0f}")


def _checkpoints(report: HardeningReport) -> Iterator[tuple[str, ...]]:
    for one in report.checkpoints:
        seconds = "unknown" if one.seconds is None else f"{one.seconds:.0f}"
        yield (one.name, one.path.as_posix(), str(one.steps), seconds, one.audit.as_posix())


def _sentence(change: Change) -> str:
    flips = "" if change.p is None else f", p {number(change.p, 2)}"
    if change.became_right is not None:
        flips += f"; {change.became_right} texts became right, {change.became_wrong} became wrong"
    ends = f" {interval(change.low, change.high, _DIGITS)}" if change.low is not None else ""
    values = f"{number(change.before, _DIGITS)} to {number(change.after, _DIGITS)}"
    return f"{change.metric} {values}, {_signed(change.difference)}{ends} of {change.n} texts{flips}"


def _signed(value: float | None) -> str:
    return f"+{number(value, _DIGITS)}" if value is not None and value > 0 else number(value, _DIGITS)


def _level(report: HardeningReport) -> float:
    return next((change.level for comparison in report.comparisons for change in comparison.changes), 0.95)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [[text(head) for head in heads], ["---"] * len(heads), *([text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
