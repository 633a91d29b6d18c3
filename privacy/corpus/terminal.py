"""The report of `assay data` as lines of at most 80 characters."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from harness.base.numbers import percent
from privacy.corpus.report import DataReport, NearReport, OverlapReport, SameReport

_WIDTH = 80
_MARGIN = 11
_TOP_LABELS = 10
_TOP_COLUMNS = 20


def terminal(report: DataReport) -> str:
    """All of a report but what is in its JSON alone: buckets, hashes and digests in full."""
    return "\n".join(_lines(report))


def _lines(report: DataReport) -> Iterator[str]:
    yield from _item("file", f"{report.file}: {report.records:,} records ({', '.join(report.columns)})")
    yield from _item("", f"{report.empty:,} of them empty; digest of the texts {report.digest[:12]}")
    if report.other_columns:
        more = len(report.other_columns) - _TOP_COLUMNS
        said = ", ".join(name[:40] for name in report.other_columns[:_TOP_COLUMNS])
        yield from _item("not read", f"{said}{f' and {more} more' if more > 0 else ''}; --column NAME reads one")
    for lengths in report.lengths:
        parts = ", ".join(f"{name} {value:,}" for name, value in lengths.quantiles.items())
        yield from _item(lengths.unit, f"{lengths.total:,}; a record: {parts}")
    yield from _item("labels", _labels(report))
    yield ""
    yield from _item("identical", _same(report.identical, report))
    yield from _item("the same", _same(report.same, report))
    yield from _item("near", report.near if isinstance(report.near, str) else _near(report.near))
    yield ""
    yield from _item("personal", f"over {report.records:,} records, for texts in {', '.join(report.languages)}")
    yield f"{'kind':>{_MARGIN + 8}} {'places':>9} {'records':>9} {'values':>9}  found by"
    for kind in report.personal:
        how = wrap(", ".join(kind.how), _WIDTH - _MARGIN - 41)
        yield f"{kind.kind:>{_MARGIN + 8}} {kind.places:>9,} {kind.records:>9,} {kind.values:>9,}  {how[0]}"
        yield from (" " * (_MARGIN + 40) + more for more in how[1:])
    if all(kind.kind != "NAME" for kind in report.personal):
        yield from _item("", "names were not looked for")
    for overlap in report.overlap:
        yield ""
        yield from _item("against", _overlap(overlap, report))
    if report.index:
        yield ""
        yield from _item("index", f"digest {report.index[:12]}")
    for count in report.counted:
        yield from _item(
            "",
            f"string {count.string} ({count.characters:,} characters): {count.occurrences:,} times, in "
            f"{count.documents:,} of {report.records:,} records",
        )
    if report.examples:
        yield ""
    for example in report.examples:
        where = f" record {example.record:,}" if example.record is not None else ""
        yield from _item("example", f"{example.section}{where}: {' '.join(example.text.split())}")


def _item(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(wrap(text, _WIDTH - _MARGIN, break_long_words=True) or [""]):
        yield f"{name if not number else '':<{_MARGIN}}{line}"


def _labels(report: DataReport) -> str:
    if report.labels is None:
        return "no such column"
    shown = report.labels[:_TOP_LABELS]
    rest = len(report.labels) - len(shown)
    parts = [f"{label.label[:40]} {label.records:,}" for label in shown]
    if rest or report.other_labels:
        others = sum(label.records for label in report.labels[_TOP_LABELS:]) + report.other_labels
        parts.append(f"others {others:,}")
    return f"{', '.join(parts)} of {report.records:,}"


def _same(same: SameReport, report: DataReport) -> str:
    share = percent(same.extra / report.records) if report.records else "none"
    total = report.lengths[0].total
    return (
        f"{same.extra:,} of {report.records:,} records ({share}) are copies, {same.rule}: "
        f"{percent(same.characters / total) if total else '0 %'} of the characters; {same.groups:,} texts are there "
        f"twice or more, the most frequent {same.largest:,} times"
    )


def _near(near: NearReport) -> str:
    share = f" ({percent(near.extra / near.judged)})" if near.judged else ""
    return (
        f"{near.extra:,} of {near.judged:,} different records{share} are near copies of another: {near.rule}, "
        f"{near.compared:,} pairs checked exactly; {near.clusters:,} clusters, the largest of {near.largest:,}; "
        f"{near.too_short:,} too short to judge"
    )


def _overlap(found: OverlapReport, report: DataReport) -> str:
    return (
        f"{found.source}: {found.touched:,} of {found.judged:,} records of {found.words} words or more share a run of "
        f"so many with the training texts, {found.mostly:,} have 70 % of their runs there; {found.equal:,} of "
        f"all {found.records:,} are a training record; {found.shared:,} of {found.runs:,} different runs; "
        f"{found.training:,} of {report.records:,} training records are touched"
    )
