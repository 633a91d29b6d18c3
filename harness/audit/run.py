"""Runs an audit: execute the plan, make rows durable, measure, decide, report, log."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType

from harness.api.case import Case
from harness.api.curves import CurvePlot
from harness.api.job import SUBJECT, Job, JobModel, add_counts
from harness.api.metrics import Metric
from harness.api.registry import Found
from harness.api.scorer import Counts, Scorer
from harness.audit.measure import backed, measure, missing_metrics, plots
from harness.audit.models import OtherModels, work_between
from harness.audit.plan import AuditPlan, PlannedProbe, make_plan
from harness.audit.prepare import PreparationError, prepare, prepared_store
from harness.audit.so_far import SoFar
from harness.audit.spec import AuditSpec, cache_of
from harness.audit.tracked_claim import against_store, store_to_ask
from harness.base.confined import is_there
from harness.base.files import make_folder, write_text
from harness.base.garbage import old_objects_left_alone
from harness.base.language import ENGLISH
from harness.base.plugins import PluginError
from harness.base.strict_yaml import dump_yaml
from harness.base.validation import validated
from harness.baseline.judge import compared_with, first_verdict, judge, rows_lost, store_of
from harness.checkpoint import NOTHING, Permissions, load_checkpoint
from harness.errors import AssayError, AuditError, NotApplicableError, UsageError
from harness.executors import AtHand, make_executor
from harness.gate.claim_metric import claim_metrics
from harness.gate.decide import Policy, Verdict
from harness.provenance.claim import TrainingRecord
from harness.provenance.claim_check import UNCHECKED, check_claim
from harness.record.commit import git_commit
from harness.record.environment import package_versions
from harness.record.events import EventLog
from harness.record.folder import (
    AuditFolder,
    AuditManifest,
    CheckpointRecord,
    DatasetRecord,
    ProbeRecord,
    Status,
    WorkRecord,
)
from harness.record.lock import writing
from harness.record.rows import RowStore, compact
from harness.reports import write_reports
from harness.scan.finding import ScanReport
from harness.scan.record import SCAN_FILE, ScanRecord, scan_metrics
from harness.scan.render.as_json import as_json


@dataclass(frozen=True, slots=True)
class AuditResult:
    """A finished audit."""

    folder: AuditFolder
    manifest: AuditManifest
    metrics: list[Metric]
    verdict: Verdict


def start_audit(
    plan: AuditPlan,
    command: Sequence[str] = (),
    claims: Iterable[EntryPoint] | None = None,
    scan: ScanReport | None = None,
    model_scans: Mapping[str, ScanReport] = MappingProxyType({}),
) -> AuditFolder:
    """Create the audit's folder with its manifest and spec. Raises UsageError when it cannot be written, AuditError.

    Args:
        plan: what will be run.
        command: the command line, for the manifest.
        claims: stands in for the installed entry points that verify privacy claims.
        scan: of the checkpoint's files, made before anything else; None: none was made.
        model_scans: of the other models' files, by their source.
    """
    now = datetime.now(UTC)
    folder = _new_folder(plan.spec.output, f"{now:%Y%m%dT%H%M%SZ}-{_slug(plan.spec.title)}")
    audit_id = folder.path.name
    manifest = AuditManifest(
        audit_id=audit_id,
        created=now.isoformat(timespec="seconds"),
        status=Status.RUNNING,
        name=plan.spec.title,
        spec=plan.spec.canonical(),
        spec_digest=plan.spec.digest(),
        checkpoint=_checkpoint_record(plan, claims),
        probes=tuple(_probe_record(planned, model_scans) for planned in plan.probes),
        not_applicable=dict(plan.not_applicable),
        no_data=dict(plan.no_data),
        left_out=plan.left_out,
        plugin_errors=dict(plan.plugin_errors),
        seed=plan.spec.seed,
        versions=package_versions(),
        git_commit=git_commit(),
        command=shlex.join(command),
    )
    try:
        if scan is not None:
            manifest = with_scan(folder, manifest, scan)
        write_text(folder.path / "spec.yaml", dump_yaml(plan.spec.canonical()))
        folder.write_manifest(manifest)
    except AuditError as error:  # a full disk: without a manifest nothing could go on, whatever the error says of that
        shutil.rmtree(folder.path, ignore_errors=True)
        why = getattr(error.__cause__, "strerror", None) or error
        raise AuditError(
            f"{plan.spec.output}: no audit could be begun there ({why}); free some space, then start it again"
        ) from error
    EventLog(folder.path).planned({planned.probe.name: len(planned.cases) for planned in plan.probes})
    return folder


def _new_folder(output: Path, begin: str) -> AuditFolder:
    """One that nobody has: of 100 audits that start in one second two draw the same end one time in 14."""
    make_folder(output)
    while True:
        path = output / f"{begin}-{os.urandom(2).hex()}"
        if not is_there(path):
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
                return AuditFolder(path)


def with_scan(folder: AuditFolder, manifest: AuditManifest, scan: ScanReport) -> AuditManifest:
    """The manifest with a scan, which is written beside it whole."""
    write_text(folder.path / SCAN_FILE, as_json(scan))
    return manifest.model_copy(update={"scan": ScanRecord.of(scan)})


def resume_plan(folder: AuditFolder, found: Found | None = None, *, permissions: Permissions = NOTHING) -> AuditPlan:
    """Plan an interrupted audit again; what its manifest says was allowed counts for nothing.

    Raises UsageError when checkpoint, data or probes have changed since.
    """
    manifest = folder.manifest()
    spec = validated(AuditSpec, manifest.spec, str(folder.manifest_path))
    plan = make_plan(spec, found, permissions=permissions)
    if plan.info.fingerprint.digest != manifest.checkpoint.fingerprint:
        raise UsageError(f"{folder.path}: the checkpoint has changed since the audit began; start a new audit")
    recorded = {record.name: record for record in manifest.probes}
    for planned in plan.probes:
        before = recorded.get(planned.probe.name)
        if before is None or (before.cases_digest, before.version) != (planned.cases_digest, planned.probe.version):
            raise UsageError(f"{folder.path}: the cases of {planned.probe.name} have changed since; start a new audit")
        if other := _other_data(before, planned):
            raise UsageError(
                f"{folder.path}: the {other[0]} of {planned.probe.name} have changed since; start a new audit"
            )
        if other := _other_models(before, planned):
            which = f"the model for {other[0]!r} of {planned.probe.name}"
            raise UsageError(f"{folder.path}: {which} has changed since; start a new audit")
    lost = sorted(set(recorded) - {planned.probe.name for planned in plan.probes})
    if lost:
        raise UsageError(f"{folder.path}: the probe {lost[0]} no longer applies or loads; start a new audit")
    return plan


def _other_data(before: ProbeRecord, planned: PlannedProbe) -> list[str]:
    """Inputs that hold other rows now: one that is no part of a case (a corpus, examples) may decide its row, too."""
    then = {name: record.digest for name, record in before.data.items()}
    now = {name: data.digest for name, data in planned.data.items()}
    return sorted(name for name in {*then, *now} if then.get(name) != now.get(name))


def _other_models(before: ProbeRecord, planned: PlannedProbe) -> list[str]:
    """Roles that have another model now, or a model where they had none, or the other way round."""
    then = {role: record.fingerprint for role, record in before.models.items()}
    now = {role: each.info.fingerprint.digest for role, each in planned.models.items()}
    return sorted(role for role in {*then, *now} if then.get(role) != now.get(role))


@old_objects_left_alone()
def run_audit(
    plan: AuditPlan, folder: AuditFolder, woken: Callable[[], object] = lambda: None, language: str = ENGLISH
) -> AuditResult:
    """Run what has no row yet, then measure and decide. On any failure the manifest says why, and rows stay.

    `woken` is called after each event that is added to the folder's, see harness.record.events.progress_reader.
    `language` is that of the HTML report. Raises UsageError where another process works on the audit.
    """
    log = EventLog(folder.path, woken)
    with writing(folder.path), _told(folder, log):
        _execute(plan, folder, log)
        for planned in plan.probes:
            compact(folder.path, planned.probe.name)
        return conclude(plan, folder, log, language)


@contextmanager
def _told(folder: AuditFolder, log: EventLog) -> Iterator[None]:
    """Whatever ends the work inside, the manifest says so before it is raised."""
    try:
        yield
    except KeyboardInterrupt:
        _stopped(folder, log, Status.INTERRUPTED, "interrupted by the user")
        raise
    except Exception as error:  # recorded, then raised again
        _stopped(folder, log, Status.FAILED, f"{type(error).__name__}: {error}")
        raise
    except BaseException as error:  # sys.exit in a plug-in, a panic in a Rust library
        why = f"something it called ended it: {type(error).__name__}: {error}"
        _stopped(folder, log, Status.FAILED, why)
        raise AuditError(f"{folder.path.name}: {why}; what is finished is kept") from error


def conclude(plan: AuditPlan, folder: AuditFolder, log: EventLog | None = None, language: str = ENGLISH) -> AuditResult:
    """Measure rows, decide, write the reports. Needs no model."""
    log = log or EventLog(folder.path)
    recorded = folder.manifest()
    metrics: list[Metric] = []
    unmeasured: dict[str, str] = {}
    for planned in plan.probes:
        name = planned.probe.name
        try:
            metrics += (
                missing_metrics(planned.probe, f"not applicable: {recorded.not_applicable[name]}")
                if name in recorded.not_applicable
                else measure(planned, folder)
            )
        except PluginError as error:  # this probe's numbers are missing, with the reason; the others stand
            unmeasured[name] = f"its rows could not be measured ({error})"
            metrics += missing_metrics(planned.probe, unmeasured[name])
            log.warned(name, unmeasured[name])
    metrics += claim_metrics(recorded.checkpoint.training)
    metrics += scan_metrics(recorded.scan)
    folder.write_metrics(metrics)
    folder.write_curves(_curves(plan, folder, recorded, log))
    log.metrics(metrics, final=True)
    manifest = recorded.model_copy(
        update={
            "status": Status.FINISHED,
            "why": "",
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "incomplete": {**recorded.incomplete, **unmeasured},
        }
    )
    verdict = first_verdict(folder, manifest, metrics, plan.spec.policy)
    folder.write_verdict(verdict)
    broken = write_reports(folder.path, manifest, metrics, verdict, language=language)
    manifest = manifest.model_copy(update={"plugin_errors": {**manifest.plugin_errors, **broken}})
    folder.write_manifest(manifest)  # last: 'finished' promises that all of the above is there
    log.finished(verdict.outcome)
    return AuditResult(folder, manifest, metrics, verdict)


def _curves(plan: AuditPlan, folder: AuditFolder, recorded: AuditManifest, log: EventLog) -> list[CurvePlot]:
    """Of all probes that could run."""
    found: list[CurvePlot] = []
    for planned in plan.probes:
        name = planned.probe.name
        if name in recorded.not_applicable:
            continue
        try:
            found += plots(planned, folder)
        except PluginError as error:  # its metrics stand without
            log.warned(name, f"its curves could not be made ({error})")
    return backed(found, recorded.checkpoint.training)


def regate(
    folder: AuditFolder,
    policy: Policy,
    *,
    baseline: str | None = None,
    allow_other_data: bool = False,
    uri: str | None = None,
) -> AuditResult:
    """Decide a measured audit again, without a model; nothing on disk changes.

    Args:
        folder: a finished audit.
        policy: to decide by.
        baseline: what to compare with, instead of the policy's own; see `harness.baseline.compare.find_baseline`.
        allow_other_data: compare the cases that both have even where their datasets differ.
        uri: MLflow store of a baseline that is a run or an alias; default: where the audit was logged.
    """
    manifest = folder.manifest()
    if manifest.status is not Status.FINISHED:
        raise UsageError(f"{folder.path}: the audit is {manifest.status}, not finished; run `assay resume` first")
    metrics = folder.metrics()
    ref = baseline or policy.baseline
    where = store_of(folder, uri)
    compared = compared_with(ref, policy, folder, where, allow_other_data=allow_other_data) if ref else None
    verdict = judge(policy, manifest, metrics, compared, rows_lost(folder, manifest))
    return AuditResult(folder, manifest, metrics, verdict)


def _execute(plan: AuditPlan, folder: AuditFolder, log: EventLog) -> None:
    stores = [RowStore(folder.path, planned.probe.name, planned.probe.Row) for planned in plan.probes]
    pending = []
    for planned, store in zip(plan.probes, stores, strict=True):
        done = store.done()
        pending.append([case for case in planned.cases if case.id not in done])
    _mark(folder, Status.RUNNING, "")
    lacking = {planned.probe.name: len(cases) for planned, cases in zip(plan.probes, pending, strict=True)}
    log.started({planned.probe.name: len(planned.cases) - lacking[planned.probe.name] for planned in plan.probes})
    if not any(pending):
        return
    folder.write_manifest(folder.manifest().model_copy(update={"not_applicable": dict(plan.not_applicable)}))
    scorer, others = _load_scorer(plan, folder), OtherModels(cache_of(plan.spec, folder.path))
    deadline = time.monotonic() + 60 * plan.spec.limits.minutes if plan.spec.limits.minutes else None
    incomplete: dict[str, str] = {}
    for planned, store, cases in zip(plan.probes, stores, pending, strict=True):
        total = len(planned.cases)
        finished = total - len(cases)
        log.progress(planned.probe.name, finished, total)
        probe = planned.probe.within(others.models(scorer, planned.models), prepared_store(plan, planned, folder))
        bound = replace(planned, probe=probe)
        if cases and not _over(deadline) and not _prepared(plan, bound, scorer, others, folder, log, incomplete):
            continue
        executor = make_executor(plan.spec.executor, AtHand(probe, scorer, partial(others.counts, planned.models)))
        counts, so_far = {SUBJECT: Counts()}, SoFar(planned, folder, log)
        try:
            for part in executor.run(job_of(plan, bound, cases)) if not _over(deadline) else ():
                store.append(part.rows)
                counts = add_counts(counts, part.counts)
                finished += len(part.rows)
                tokens = sum(each.tokens for each in counts.values())
                log.progress(planned.probe.name, finished, total, len(part.rows), tokens)
                so_far.look(finished)
                if _over(deadline):
                    break
        except NotApplicableError as error:  # not to be known before the model was asked; the others run
            _record_unfit(folder, log, planned.probe.name, str(error))
            continue
        if finished < total:
            incomplete[planned.probe.name] = (
                f"the limit of {plan.spec.limits.minutes:g} minutes was reached after {finished} of {total} cases"
            )
            log.progress(planned.probe.name, finished, total, now=True)
            log.warned(planned.probe.name, incomplete[planned.probe.name])
        _record_work(folder, planned.probe.name, counts, incomplete)


def _prepared(
    plan: AuditPlan,
    bound: PlannedProbe,
    scorer: Scorer,
    others: OtherModels,
    folder: AuditFolder,
    log: EventLog,
    incomplete: dict[str, str],
) -> bool:
    """Whether the probe could prepare; where it could not, the manifest says why, and the other probes run."""
    try:
        prepare(plan, bound, others.models(scorer, bound.models), others, folder)
    except NotApplicableError as error:
        _record_unfit(folder, log, bound.probe.name, str(error))
        return False
    except PreparationError as error:
        incomplete[bound.probe.name] = str(error)
        log.warned(bound.probe.name, str(error))
        folder.write_manifest(folder.manifest().model_copy(update={"incomplete": dict(incomplete)}))
        return False
    return True


def _record_unfit(folder: AuditFolder, log: EventLog, probe: str, why: str) -> None:
    why = why.removeprefix(f"{probe}: ")
    log.warned(probe, why)
    manifest = folder.manifest()
    unfit = {**manifest.not_applicable, probe: why}
    folder.write_manifest(manifest.model_copy(update={"not_applicable": unfit}))


def _over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() > deadline


def _load_scorer(plan: AuditPlan, folder: AuditFolder) -> Scorer:
    from harness.scorer.cache.kept import KEPT_BYTES
    from harness.scorer.cache.store import store_for
    from harness.scorer.hf import HFScorer

    loaded = load_checkpoint(plan.info, device=plan.spec.device, dtype=plan.spec.dtype)
    manifest = folder.manifest()
    folder.write_manifest(manifest.model_copy(update={"device": loaded.device, "dtype": loaded.dtype}))
    return HFScorer(loaded, keep_bytes=KEPT_BYTES, store=store_for(cache_of(plan.spec, folder.path), loaded))


def job_of(plan: AuditPlan, planned: PlannedProbe, cases: Sequence[Case]) -> Job:
    """Some cases of a planned probe, for any process to take; of one that is bound, with what it has prepared."""
    spec, probe = plan.spec, planned.probe
    subject = JobModel(spec.checkpoint, plan.info.fingerprint.digest, spec.device, spec.dtype)
    others = {
        role: JobModel(each.info.source, each.info.fingerprint.digest, each.device, each.dtype)
        for role, each in planned.models.items()
    }
    params = probe.params.model_dump(mode="json")
    return Job(probe.name, probe.version, params, {SUBJECT: subject, **others}, tuple(cases), probe.kept)


def _record_work(folder: AuditFolder, probe: str, counts: Mapping[str, Counts], incomplete: dict[str, str]) -> None:
    """What the checkpoint did for a probe, and the other models that were asked, by role."""
    done = {"" if role == SUBJECT else role: work_between(Counts(), each) for role, each in counts.items()}
    work = [
        WorkRecord(probe=probe, model=role, **each) for role, each in done.items() if not role or any(each.values())
    ]
    manifest = folder.manifest()
    folder.write_manifest(manifest.model_copy(update={"work": (*manifest.work, *work), "incomplete": dict(incomplete)}))


def _stopped(folder: AuditFolder, log: EventLog, status: Status, why: str) -> None:
    _mark(folder, status, why)
    with suppress(Exception):  # of a reader: what stopped the audit is to be raised
        log.stopped("interrupted" if status is Status.INTERRUPTED else "failed", why)


def _mark(folder: AuditFolder, status: Status, why: str) -> None:
    try:
        folder.write_manifest(folder.manifest().model_copy(update={"status": status, "why": why}))
    except AssayError:
        if status is Status.RUNNING:
            raise
        # the disk that failed the audit may fail this note too; the first failure is the one to report


def _slug(name: str) -> str:
    return "".join(char if char.isalnum() else "-" for char in name.lower()).strip("-")[:40] or "audit"


def _checkpoint_record(plan: AuditPlan, claims: Iterable[EntryPoint] | None) -> CheckpointRecord:
    info = plan.info
    print_ = info.fingerprint
    return CheckpointRecord(
        source=info.source.source,
        architecture=info.architecture,
        model_type=info.model_type,
        parameters=info.parameters,
        labels=info.labels,
        offers=tuple(sorted(info.offers)),
        weights=print_.weights,
        config=print_.config,
        tokenizer=print_.tokenizer,
        fingerprint=print_.digest,
        notes=info.notes,
        permissions=info.permissions.notes(),
        isolation=info.isolation.sentence,
        training=_training_record(plan, claims),
    )


def _training_record(plan: AuditPlan, claims: Iterable[EntryPoint] | None) -> TrainingRecord | None:
    info = plan.info
    manifest = info.manifest
    if manifest is None:
        return None
    if manifest.privacy is None:
        return TrainingRecord.of(manifest, UNCHECKED)
    weights = info.fingerprint.weights
    check = check_claim(info.path, manifest, weights, claims)
    return TrainingRecord.of(manifest, against_store(check, store_to_ask(plan.spec), weights, manifest.privacy.ledger))


def _probe_record(planned: PlannedProbe, scans: Mapping[str, ScanReport]) -> ProbeRecord:
    probe = planned.probe
    return ProbeRecord(
        name=probe.name,
        version=probe.version,
        params=probe.params.model_dump(mode="json"),
        summary=probe.about.summary,
        paper=probe.about.paper,
        cannot_tell=probe.about.cannot_tell,
        cases=len(planned.cases),
        available=planned.available,
        cases_digest=planned.cases_digest,
        data={
            name: DatasetRecord(
                source=data.source.model_dump(mode="json"),
                digest=data.digest,
                n=len(data),
                note=planned.notes.get(name, ""),
            )
            for name, data in planned.data.items()
        },
        models={role: each.record(scans) for role, each in planned.models.items()},
    )
