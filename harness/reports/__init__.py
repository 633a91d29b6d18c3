"""Report formats: found by entry point, written side by side; one that fails is reported and the rest carry on."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from yaml import YAMLError

from harness.api.metrics import Metric
from harness.api.probe import About
from harness.base.files import make_folder, write_bytes
from harness.base.hints import did_you_mean
from harness.base.language import ENGLISH, spoken
from harness.base.plugins import PluginError, guarded, installed
from harness.errors import AssayError, AuditError, UsageError
from harness.gate.verdict import Verdict
from harness.record.folder import AuditFolder, AuditManifest
from harness.reports.content.api import Level, ReportInput, Undecided, Writer
from harness.reports.content.disclosure import disclose
from harness.reports.content.examples import examples

REPORTS = "assay.reports"
PACK = "pack"
_OWN = "harness.reports."
_SUFFIX = re.compile(r"(\.[A-Za-z0-9-]+)+")


def report_input(manifest: AuditManifest, metrics: Sequence[Metric], verdict: Verdict) -> ReportInput:
    """What report writers get, from what an audit recorded; nothing is masked yet (see `disclosed_input`)."""
    abouts = {probe.name: About(probe.summary, probe.paper, probe.cannot_tell) for probe in manifest.probes}
    return ReportInput(manifest, tuple(metrics), verdict, abouts)


def disclosed_input(
    folder: Path, manifest: AuditManifest, metrics: Sequence[Metric], verdict: Verdict, level: Level
) -> ReportInput:
    """What report writers get at `level`, with a few rows of the audit in `folder`."""
    counts: Counter[str] = Counter()
    names = [] if level is Level.SUMMARY else [probe.name for probe in manifest.probes]
    shown = tuple(examples(folder, names, verdict, level, counts))
    report = replace(
        report_input(manifest, metrics, verdict),
        plots=tuple(AuditFolder(folder).curves()),
        examples=shown,
        masked=dict(counts),
        folder=folder,
        undecided=_undecided(manifest),
    )
    return disclose(report, level)


def find_writers(points: Iterable[EntryPoint] | None = None) -> tuple[list[Writer], dict[str, str]]:
    """Registered writers, Assay's own first, and the entry points that could not be used, each with its reason."""
    found = installed(REPORTS, _writer, points, first=_OWN)
    return list(found.plugins.values()), dict(found.errors)


def write_reports(
    folder: Path,
    manifest: AuditManifest,
    metrics: Sequence[Metric],
    verdict: Verdict,
    points: Iterable[EntryPoint] | None = None,
    language: str = ENGLISH,
) -> dict[str, str]:
    """Write the default formats into `folder`, as `findings`: `report<suffix>`, or `report-<name><suffix>` if taken.

    `language` is that of HTML. Returns the formats that failed, each with its reason. Raises AuditError or UsageError
    when the disk refuses.
    """
    writers, errors = find_writers(points)
    report = replace(disclosed_input(folder, manifest, metrics, verdict, Level.FINDINGS), language=language)
    names = _file_names(writers)
    for writer in writers:
        if not writer.default:
            continue
        try:
            content = guarded(lambda writer=writer: _rendered(writer, report))  # type: ignore[misc]
        except PluginError as error:  # one format must not cost the others
            errors[writer.name] = str(error)
            continue
        write_bytes(folder / names[writer.name], content)
    return errors


def recorded_input(
    audit: AuditFolder,
    level: Level,
    verdict: Verdict | None = None,
    undecided: Undecided | None = None,
    language: str = ENGLISH,
) -> ReportInput:
    """What report writers get of an audit at `level`: with `verdict`, else with the one it was given.

    `undecided` is what an undecided gate is in JUnit; None: as the audit's spec says. `language` is that of HTML and
    PDF. Raises UsageError for an undecided audit.
    """
    manifest = audit.manifest()
    verdict = verdict or audit.verdict()
    if verdict is None:
        raise UsageError(f"{audit.path}: the audit is {manifest.status}, not decided; run `assay resume` first")
    report = disclosed_input(audit.path, manifest, audit.metrics(), verdict, level)
    return replace(report, language=language, undecided=undecided or report.undecided)


def render_again(
    report: ReportInput, formats: Sequence[str], output: Path, points: Iterable[EntryPoint] | None = None
) -> dict[str, Path]:
    """Write `formats` (none named: the default ones) into `output`; format -> file.

    Raises UsageError for an unknown format or a missing extra, AuditError where a format fails.
    """
    writers, errors = find_writers(points)
    chosen = choose_writers(writers, errors, formats, report.level)
    names, folder = _file_names(writers), make_folder(output, shared=True)
    paths = {}
    for writer in chosen:
        try:
            content = _rendered(writer, report)
        except AssayError:
            raise
        except Exception as error:  # a plug-in may raise anything
            raise AuditError(f"the report format {writer.name} failed: {type(error).__name__}: {error}") from error
        paths[writer.name] = folder / names[writer.name]
        write_bytes(paths[writer.name], content)
    return paths


def update_card(report: ReportInput, card: Path) -> None:
    """Replace or add the section and the results of an audit in a model card; a new card where there is none.

    Raises UsageError for a card that cannot be read.
    """
    from harness.reports.formats.card import update

    try:
        before = card.read_text(encoding="utf-8-sig") if card.exists() else ""
        after = update(before, report)
    except (OSError, ValueError, YAMLError) as error:  # no UTF-8 is a ValueError too
        raise UsageError(f"{card}: not a model card that can be read ({error})") from error
    write_bytes(card, after.encode())


def choose_writers(
    writers: Sequence[Writer], errors: dict[str, str], formats: Sequence[str], level: Level
) -> list[Writer]:
    """Writers by name; without names the default ones; the pack too at `reproduction`. Raises UsageError."""
    known = {writer.name: writer for writer in writers}
    for name in formats:
        broken = [why for point, why in errors.items() if point.split(" = ")[0] == name]
        if broken:
            raise UsageError(f"the report format {name} did not load: {broken[0]}")
        if name not in known:
            hint = did_you_mean(name, known) or f"; choose from {', '.join(known)}"
            raise UsageError(f"--format {name}: no such report format{hint}")
    names = list(dict.fromkeys(formats)) or [writer.name for writer in writers if writer.default]
    if level is Level.REPRODUCTION and PACK in known and PACK not in names:
        names.append(PACK)
    return [known[name] for name in names]


def _undecided(manifest: AuditManifest) -> Undecided:
    """What the spec of the audit says that an undecided gate is in JUnit; records of old say nothing."""
    reports = manifest.spec.get("reports")
    asked = isinstance(reports, dict) and reports.get("undecided") == Undecided.FAILURE
    return Undecided.FAILURE if asked else Undecided.SKIPPED


def _file_names(writers: Sequence[Writer]) -> dict[str, str]:
    """File of each format, the same whichever of them are written."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for writer in writers:
        stem = f"report-{writer.name}" if writer.suffix in taken else "report"
        names.setdefault(writer.name, f"{stem}{writer.suffix}")
        taken.add(writer.suffix)
    return names


def _rendered(writer: Writer, report: ReportInput) -> bytes:
    with spoken(ENGLISH):  # whatever the page speaks that asked for it; HTML goes by the report's own language
        content = writer.render(report)
    if isinstance(content, bytes):
        return content
    return content.encode()  # a lone surrogate fails here, as this writer's error, not while the file is written


def _writer(point: EntryPoint, render: Any) -> tuple[str, Writer]:
    """The writer that an entry point names. Raises ValueError or TypeError with what it lacks."""
    if re.fullmatch(r"[\w.-]+", point.name) is None:
        raise ValueError(f"{point.name!r} cannot be part of a file name")
    if not callable(render):
        raise TypeError(f"{render!r} is not callable")
    module = sys.modules[point.module]
    suffix = getattr(module, "suffix", None)
    if not isinstance(suffix, str) or _SUFFIX.fullmatch(suffix) is None:
        raise TypeError(f"module {point.module} must set suffix to something like '.txt', not {suffix!r}")
    return point.name, Writer(point.name, render, suffix, bool(getattr(module, "default", True)))
