"""Runs a campaign: an audit per cell, then the table. What is finished is kept; the same call goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from harness.api.metrics import Metric
from harness.api.progress import Watch
from harness.audit.run import start_audit
from harness.base.files import make_folder, write_text
from harness.base.lock import HeldError, Lock
from harness.campaign.audited import Audited, Start, audited
from harness.campaign.cells import Failure, Work, each_cell
from harness.campaign.changes import Change, changes_of
from harness.campaign.result import MARKDOWN, RESULT, CampaignReport, CellRecord, MetricRecord, Value
from harness.campaign.spec import CampaignSpec
from harness.campaign.table import markdown
from harness.checkpoint import NOTHING, Permissions
from harness.errors import AuditError, UsageError
from harness.record.environment import package_versions

_LOCK = "campaign.lock"
_START: Start = partial(start_audit, command=["assay", "campaign"])


def run_campaign(
    spec: CampaignSpec,
    watch: Watch | None = None,
    *,
    start: Start = _START,
    permissions: Permissions = NOTHING,
    finished: Callable[[Audited], None] = lambda _: None,
) -> CampaignReport:
    """Audit every cell, then compare. A cell that fails is named in the report, and the others go on.

    Args:
        spec: what to audit.
        watch: hears which cell is worked on, and its cases.
        start: makes the folder of a cell's audit.
        permissions: of the user, for every checkpoint.
        finished: called with each audit that has ended, those of an earlier call too.

    Raises:
        UsageError: another process works on the campaign, or the folder cannot be written.
        AuditError: no cell has an audit.
    """
    watch = watch or Watch()
    make_folder(spec.output)
    with _alone(spec.output):
        found: dict[str, Audited | Failure] = {}

        def work(name: str) -> tuple[Audited, Work]:
            with watch.cases() as on_progress:
                made = audited(spec.audit_of(name), start, on_progress, permissions=permissions)
            finished(made)
            verdict = made.folder.verdict()
            words = verdict.outcome if verdict else "no verdict"
            return made, Work(f"{words}{'' if made.ran else ', done before'}", made.ran)

        for name, made in each_cell(list(spec.checkpoints), lambda name: name, work, watch.say):
            found[name] = made
        report = _report(spec, found)
        write_text(spec.output / RESULT, report.model_dump_json(indent=2) + "\n")
        write_text(spec.output / MARKDOWN, markdown(report))
    if len(report.failed) == len(report.cells):
        first = report.failed[0]
        raise AuditError(f"none of the {len(report.cells)} cells succeeded; {first.name}: {first.failed}")
    return report


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Two processes would audit each cell twice."""
    try:
        lock = Lock(output / _LOCK)
    except HeldError as error:
        raise UsageError(
            f"{output}: process {error} works on this campaign; wait for it to end, or stop it and try again"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _report(spec: CampaignSpec, found: Mapping[str, Audited | Failure]) -> CampaignReport:
    done = {name: made for name, made in found.items() if isinstance(made, Audited)}
    return CampaignReport(
        name=spec.name,
        reference=spec.against,
        cells=tuple(_cell(spec, name, made) for name, made in found.items()),
        metrics=tuple(_metrics(spec.against, done)),
        versions=package_versions(),
    )


def _cell(spec: CampaignSpec, name: str, made: Audited | Failure) -> CellRecord:
    source = spec.checkpoints[name].checkpoint.source
    if isinstance(made, Failure):
        return CellRecord(name=name, checkpoint=source, failed=made.reason)
    verdict = made.folder.verdict()
    return CellRecord(
        name=name,
        checkpoint=source,
        fingerprint=made.folder.manifest().checkpoint.fingerprint,
        audit=made.folder.path.relative_to(spec.output),
        verdict="" if verdict is None else str(verdict.outcome),
        reason="" if verdict is None else verdict.reason,
    )


def _metrics(reference: str, done: Mapping[str, Audited]) -> Iterator[MetricRecord]:
    """Every headline metric that some cell has, in the order in which they first appear."""
    by_cell = {name: _headlines(made) for name, made in done.items()}
    others = {name: made for name, made in done.items() if name != reference}
    changes = {name: _changes(by_cell[name], made, done.get(reference)) for name, made in others.items()}
    for key, first in {key: each for own in by_cell.values() for key, each in own.items()}.items():
        values = tuple(
            _value(name, own.get(key), None if name == reference else changes[name].get(key))
            for name, own in by_cell.items()
        )
        yield MetricRecord(metric=key, unit=first.unit, better=first.better, values=values)


def _headlines(made: Audited) -> dict[str, Metric]:
    return {each.key: each for each in made.folder.metrics() if each.headline and not each.slice}


def _changes(metrics: Mapping[str, Metric], made: Audited, reference: Audited | None) -> dict[str, Change]:
    """Of the metrics made from rows, by key, probe by probe: other data under one cost no other."""
    by_probe: dict[str, list[Metric]] = {planned.probe.name: [] for planned in made.plan.probes}
    for key, metric in metrics.items():
        if (probe := key.rpartition("/")[0]) in by_probe:
            by_probe[probe].append(metric)
    found: dict[str, Change] = {}
    for mine in by_probe.values():
        found |= {one.metric: one for one in _of_probe(mine, made, reference)}
    return found


def _of_probe(metrics: Sequence[Metric], made: Audited, reference: Audited | None) -> list[Change]:
    if reference is None:
        return [_none(metric, "the reference has no finished audit") for metric in metrics]
    try:
        return changes_of(metrics, made.folder, reference.folder)
    except UsageError as error:
        return [_none(metric, str(error)) for metric in metrics]


def _none(metric: Metric, why: str) -> Change:
    return Change(metric=metric.key, n=0, note=why)


def _value(cell: str, metric: Metric | None, change: Change | None) -> Value:
    if metric is None:
        return Value(cell=cell, note="its audit does not measure it", change=change)
    return Value(
        cell=cell,
        value=metric.value,
        low=metric.low,
        high=metric.high,
        n=metric.n,
        missing=metric.missing,
        note=metric.note,
        change=change,
    )
