"""Report formats: found by entry point, written side by side; one that fails is reported and the rest carry on."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from harness.files import write_text
from harness.gate import Verdict
from harness.metrics import Metric
from harness.probe import About
from harness.record import AuditManifest
from harness.reports.api import ReportInput, Writer

REPORTS = "assay.reports"
_OWN = "harness.reports."
_SUFFIX = re.compile(r"(\.[A-Za-z0-9]+)+")


def report_input(manifest: AuditManifest, metrics: Sequence[Metric], verdict: Verdict) -> ReportInput:
    """What report writers get, from what an audit recorded."""
    abouts = {probe.name: About(probe.summary, probe.paper, probe.cannot_tell) for probe in manifest.probes}
    return ReportInput(manifest, tuple(metrics), verdict, abouts)


def find_writers(points: Iterable[EntryPoint] | None = None) -> tuple[list[Writer], dict[str, str]]:
    """Registered writers, Assay's own first, and the entry points that could not be used, each with its reason."""
    writers, errors = [], {}
    found = points if points is not None else entry_points(group=REPORTS)
    for point in sorted(found, key=lambda point: (not point.value.startswith(_OWN), point.name)):
        try:
            writers.append(_load(point))
        except Exception as error:  # a plug-in may raise anything while it is imported; the rest must carry on
            errors[f"{point.name} = {point.value}"] = f"{type(error).__name__}: {error}"
    return writers, errors


def write_reports(
    folder: Path,
    manifest: AuditManifest,
    metrics: Sequence[Metric],
    verdict: Verdict,
    points: Iterable[EntryPoint] | None = None,
) -> dict[str, str]:
    """Write `report<suffix>` per format into `folder`; a second format of a suffix writes `report-<name><suffix>`.

    Returns the formats that failed, each with its reason. Raises AuditError or UsageError when the disk refuses.
    """
    writers, errors = find_writers(points)
    report = report_input(manifest, metrics, verdict)
    taken: set[str] = set()
    for writer in writers:
        try:
            text = _rendered(writer, report)
        except Exception as error:  # as above: one format must not cost the others
            errors[writer.name] = f"{type(error).__name__}: {error}"
            continue
        name = f"report-{writer.name}" if writer.suffix in taken else "report"
        write_text(folder / f"{name}{writer.suffix}", text)
        taken.add(writer.suffix)
    return errors


def _rendered(writer: Writer, report: ReportInput) -> str:
    text = writer.render(report)
    text.encode()  # a lone surrogate must fail here, as this writer's error, not while the file is written
    return text


def _load(point: EntryPoint) -> Writer:
    if re.fullmatch(r"[\w.-]+", point.name) is None:
        raise ValueError(f"{point.name!r} cannot be part of a file name")
    render = point.load()
    if not callable(render):
        raise TypeError(f"{render!r} is not callable")
    suffix = getattr(sys.modules[point.module], "suffix", None)
    if not isinstance(suffix, str) or _SUFFIX.fullmatch(suffix) is None:
        raise TypeError(f"module {point.module} must set suffix to something like '.txt', not {suffix!r}")
    return Writer(point.name, render, suffix)
