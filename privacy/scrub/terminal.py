"""The report of `assay scrub` as lines of at most 80 characters."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from privacy.scrub.run import ScrubReport

_WIDTH = 80
_MARGIN = 11


def terminal(report: ScrubReport) -> str:
    """All of a report."""
    return "\n".join(_lines(report))


def _lines(report: ScrubReport) -> Iterator[str]:
    yield from _item("written", f"{report.output}: {report.records:,} records of {report.file}")
    columns = ", ".join(report.columns)
    yield from _item("", f"{report.changed:,} texts changed in {columns}; for texts in {', '.join(report.languages)}")
    yield f"{'kind':>{_MARGIN + 8}} {'places':>9} {'values':>9}  found by"
    for kind in report.replaced:
        how = wrap(", ".join(kind.how), _WIDTH - _MARGIN - 31)
        yield f"{kind.kind:>{_MARGIN + 8}} {kind.places:>9,} {kind.values:>9,}  {how[0]}"
        yield from (" " * (_MARGIN + 30) + more for more in how[1:])
    if not report.names_looked_for:
        yield from _item("", "names were not looked for")
    for column, found in report.left.items():
        parts = ", ".join(f"{places:,} {kind}" for kind, places in found.items())
        yield from _item("not done", f"column {column} was left as it is, and holds {parts}; add --column {column}")
    for column in report.not_read:
        words = f"column {column} holds lists or structures, was not looked into and was left as it is"
        yield from _item("not done", f"{words}; write its texts out as columns, or leave it out")
    if report.mapping:
        yield from _item("mapping", f"{report.mapping}: the values behind the pseudonyms, for their owner alone")
    yield from _item("note", "what has no form that is known here stays; look at a sample before you train on it")


def _item(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(wrap(text, _WIDTH - _MARGIN) or [""]):
        yield f"{name if not number else '':<{_MARGIN}}{line}"
