"""A scan's report as text of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from harness.base.loglines import clean
from harness.scan.finding import FileRecord, Finding, Level, ScanReport, counted
from harness.scan.rules import RULES

WIDTH = 80
_FILES = 60
"""Files listed; the JSON has them all."""
_NOTES = 20
_NAME, _KIND = 38, 16


def as_text(report: ScanReport) -> str:
    """Outcome first and last; findings by weight; what was not scanned before any note."""
    return "\n".join(clean(line) for line in _lines(report)) + "\n"


def _lines(report: ScanReport) -> Iterator[str]:
    yield from _wrapped(f"scan of {report.source} ({report.kind}, {counted(report.files_found, 'file')})")
    yield from _wrapped(report.headline)
    yield ""
    for level in (Level.ERROR, Level.WARNING):
        for finding in report.findings:
            if finding.level is level:
                yield from _finding(finding)
    if report.unscanned:
        yield "Not scanned"
        for missed in report.unscanned:
            yield from _wrapped(f"{missed.file}: {missed.why}", "  ", "    ")
        yield ""
    yield from _notes(report)
    yield from _files(report)
    yield from _facts(report)
    yield ""
    yield from _wrapped(report.headline)


def _finding(finding: Finding) -> Iterator[str]:
    place = f"{finding.file} [{finding.where}]" if finding.where else finding.file
    yield from _wrapped(f"{finding.level}: {place}", "", "  ")
    yield from _wrapped(f"{finding.sentence} ({finding.rule})", "  ", "  ")
    yield from _wrapped(RULES[finding.rule].help if finding.rule in RULES else "", "  ", "  ")
    yield ""


def _notes(report: ScanReport) -> Iterator[str]:
    notes = [finding for finding in report.findings if finding.level is Level.NOTE]
    if not notes:
        return
    yield "Notes"
    for finding in notes[:_NOTES]:
        yield from _wrapped(f"{finding.file}: {finding.sentence} ({finding.rule})", "  ", "    ")
    if len(notes) > _NOTES:
        yield f"  and {len(notes) - _NOTES:,} more (--format json has them)"
    yield ""


def _files(report: ScanReport) -> Iterator[str]:
    if not report.files:
        return
    yield f"{'file':<{_NAME}}  {'kind':<{_KIND}} {'bytes':>14}  fp"
    for record in report.files[:_FILES]:
        yield from _row(record)
    if report.files_found > _FILES:
        yield f"and {report.files_found - _FILES:,} more (--format json has them)"
    yield from _wrapped("fp: the fingerprint of an audit covers the file; nothing else of the checkpoint is loaded")
    yield ""


def _row(record: FileRecord) -> Iterator[str]:
    name = record.path if len(record.path) <= _NAME else f"…{record.path[-_NAME + 1 :]}"
    mark = "yes" if record.fingerprint else "no"
    yield f"{name:<{_NAME}}  {record.kind[:_KIND]:<{_KIND}} {record.size:>14,}  {mark}"
    if record.special:
        words = ", ".join(record.special)
        yield from _wrapped(f"{words}{f' to {record.target}' if record.target else ''}", "    ", "    ")


def _facts(report: ScanReport) -> Iterator[str]:
    held = report.estimate
    if held is None:
        yield "weights    no header could be read: nothing is known of what loading takes"
    else:
        yield from _fact(
            "weights",
            f"{held.parameters:,} numbers in {held.tensors:,} tensors, {_size(held.weight_bytes)} as stored, about "
            f"{_size(held.memory_bytes)} of memory as float32",
        )
    for question in report.cannot_tell:
        yield from _fact("untold", question)
    for note in report.libraries:
        yield from _fact(
            "library",
            f"{note.library} {note.installed}: {note.hole} ({note.affected}): {note.what}; closed here: "
            f"{note.closed_by}",
        )
    yield from _fact("holes", f"known ones as of {report.libraries_as_of or 'never'}")
    yield from _fact("opinion", report.second_opinion or "none")
    yield from _fact("isolation", report.isolation)
    yield from _fact("took", f"{report.seconds:.1f} s")


def _fact(label: str, text: str) -> Iterator[str]:
    yield from _wrapped(text, f"{label:<11}", " " * 11)


def _wrapped(text: str, first: str = "", rest: str = "") -> Iterator[str]:
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False, break_long_words=True
    )


def _size(number: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number} bytes"
