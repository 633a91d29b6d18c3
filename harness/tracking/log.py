"""MLflow, the run of record: one run per finished audit, written from the audit's folder alone."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import AssayError, AuditError
from harness.gate.decide import Outcome, Verdict
from harness.record.folder import DECISIONS, AuditFolder, AuditManifest, DatasetRecord, Decision, Status, audits_in
from harness.tracking.artifacts import artifacts_of
from harness.tracking.runs import (
    LOGGED,
    checkpoint_tags,
    common_tags,
    dataset_input,
    dataset_name,
    distinct_keys,
    experiment_id,
    find_or_create,
    flat,
    log_entries,
    milliseconds,
)
from harness.tracking.session import TrackingError, mlflow_session

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

    from harness.api.metrics import Metric

__all__ = ["AUDIT_ID", "LOGGED", "TrackingError", "log_audit", "pending"]

AUDIT_ID = "assay.audit_id"
_ARTIFACTS = ("spec.yaml", "scan.json", "manifest.json", "metrics.json", "curves.json", "verdict.json", "report.*")
_ELSEWHERE = ("data", "output", "policy", "probes", "tracking")
"""Keys of the spec that are no params: they are logged as inputs, verdict and artifacts, or are not about the audit."""


def log_audit(folder: AuditFolder, uri: str, experiment: str) -> str:
    """Log a finished audit and note it in its tracking.json; returns the run id.

    An audit logged before is updated, not repeated. Raises TrackingError when it is not finished, or when the store is
    away or refuses it.
    """
    manifest, metrics, verdict = _read(folder)
    with mlflow_session(uri) as client:
        start = milliseconds(manifest.created)
        found = experiment_id(client, uri, experiment)
        run = find_or_create(client, found, AUDIT_ID, manifest.audit_id, name=manifest.name, start=start)
        run_id = str(run.info.run_id)
        _log_entries(client, run, manifest, metrics, verdict)
        client.log_inputs(run_id, dataset_inputs(manifest))
        _log_artifacts(artifacts_of(client, uri, run_id), folder.path)
        for key, value in decision_tags(folder.decisions()).items():
            client.set_tag(run_id, key, value)
        client.set_terminated(run_id, status="FINISHED", end_time=milliseconds(manifest.finished))
    folder.write_tracking({"uri": uri, "run_id": run_id, "experiment": experiment, "state": "logged"})
    return run_id


def log_decision(folder: AuditFolder) -> bool:
    """Add the newest later verdict to the run of a logged audit; False where it is not logged. Raises TrackingError.

    Where that fails the audit waits for `assay sync` again, which sends it whole.
    """
    note = folder.tracking()
    later = folder.decisions()
    if note.get("state") != "logged" or not later:
        return False
    try:
        with mlflow_session(note["uri"]) as client:
            repository = artifacts_of(client, note["uri"], note["run_id"])
            repository.log_artifacts(str(folder.path / DECISIONS), DECISIONS)
            for key, value in {**decision_tags(later), LOGGED: datetime.now(UTC).isoformat()}.items():
                client.set_tag(note["run_id"], key, value)
    except TrackingError:
        folder.write_tracking({**note, "state": "pending"})
        raise
    return True


def decision_tags(later: Sequence[Decision]) -> dict[str, str]:
    """What the newest verdict after the audit's own adds to its run; nothing where there is none."""
    if not later:
        return {}
    verdict = later[-1].verdict
    baseline = verdict.baseline
    tags = {
        "assay.gate.verdict": str(verdict.outcome),
        "assay.gate.reason": verdict.reason,
        "assay.gate.policy": verdict.policy,
        "assay.gate.policy_digest": verdict.policy_digest,
        "assay.gate.baseline": "none" if baseline is None else baseline.version or baseline.run_id or baseline.audit_id,
        "assay.gate.decided_at": later[-1].decided_at,
    }
    return {key: text[:2000] for key, text in tags.items()}


def pending(output: Path) -> list[AuditFolder]:
    """Finished audits directly below `output` that were to be logged and are not."""
    return [folder for folder in audits_in(output) if _waits(folder)]


def audit_params(manifest: AuditManifest) -> dict[str, str]:
    """The spec as flat params: `limits.cases`, and `suite/probe.setting` for every setting the spec gives."""
    spec = {key: value for key, value in manifest.spec.items() if key not in _ELSEWHERE}
    params = dict(flat(spec))
    params["probes"] = ", ".join(probe.name for probe in manifest.probes)
    for entry in manifest.spec.get("probes", ()):
        params.update(flat({entry["name"]: entry.get("params", {})}))
    return params


def audit_tags(manifest: AuditManifest, verdict: Verdict | None) -> dict[str, str]:
    """What a run is searched by: identity, digests, versions, verdict."""
    checkpoint = manifest.checkpoint
    tags = {
        AUDIT_ID: manifest.audit_id,
        "assay.status": str(manifest.status),
        "assay.spec_digest": manifest.spec_digest,
        **checkpoint_tags(checkpoint.source, checkpoint.fingerprint, checkpoint),
        **common_tags(manifest.versions),
    }
    tags |= {f"assay.data.{where}": record.digest for where, record in _datasets(manifest)}
    if manifest.git_commit:
        tags |= {"assay.git_commit": manifest.git_commit, "mlflow.source.git.commit": manifest.git_commit}
    if verdict is not None:
        tags |= {"assay.verdict": str(verdict.outcome), "assay.verdict_reason": verdict.reason}
        tags |= {f"assay.gates.{outcome}": str(count) for outcome, count in gate_counts(verdict).items()}
    return tags


def gate_counts(verdict: Verdict) -> dict[str, int]:
    """How many gates of a verdict count as each outcome, after severity, waivers and excuses."""
    ends = Counter(str(result.effective) for result in verdict.gates if result.asked)
    return {str(outcome): ends[outcome] for outcome in Outcome}


def metric_values(metrics: Sequence[Metric]) -> dict[str, float]:
    """Headline metrics as `suite/probe/metric`, with `/low`, `/high` and `/n`; a missing number has no entry.

    A metric about a subset is keyed `suite/probe/metric/slice/<subset>`.
    """
    values: dict[str, float] = {}
    for metric in metrics:
        if not metric.headline or metric.value is None:
            continue
        key = metric.key + (f"/slice/{metric.slice}" if metric.slice else "")
        parts = {"": metric.value, "/low": metric.low, "/high": metric.high, "/n": float(metric.n)}
        values.update({key + end: number for end, number in parts.items() if number is not None})
    keys = distinct_keys(list(values))
    return {keys[name]: number for name, number in values.items()}


def dataset_inputs(manifest: AuditManifest) -> list[DatasetInput]:
    """Each dataset once, by source and digest; its context names the probes that read it. No data is sent."""
    readers: dict[tuple[str, str], list[str]] = {}
    records: dict[tuple[str, str], DatasetRecord] = {}
    for where, record in _datasets(manifest):
        key = dataset_name(record.source), record.digest
        readers.setdefault(key, []).append(where)
        records[key] = record
    return [
        dataset_input(records[key].source, records[key].digest, records[key].n, ", ".join(users))
        for key, users in readers.items()
    ]


def _read(folder: AuditFolder) -> tuple[AuditManifest, list[Metric], Verdict | None]:
    try:
        manifest = folder.manifest()
        if manifest.status is not Status.FINISHED:
            raise TrackingError(f"{folder.path}: the audit is {manifest.status}, only finished ones are logged")
        return manifest, folder.metrics(), folder.verdict()
    except AuditError as error:  # manifest, metrics or verdict of another shape
        raise TrackingError(f"{folder.path}: damaged results ({error})") from error


def _waits(folder: AuditFolder) -> bool:
    try:
        manifest = folder.manifest()
    except AssayError:  # a damaged audit cannot be sent; `assay show` names it
        return False
    if manifest.status is not Status.FINISHED or manifest.spec.get("tracking", {}).get("uri") == "off":
        return False
    try:
        return folder.tracking().get("state") != "logged"
    except AuditError:  # a damaged note is as good as none: logging again finds the run, if there is one
        return True


def _log_entries(
    client: MlflowClient, run: Run, manifest: AuditManifest, metrics: Sequence[Metric], verdict: Verdict | None
) -> None:
    from mlflow.entities import Metric as Entry

    now = time.time_ns() // 1_000_000
    before = run.data.metrics
    values = metric_values(metrics)
    gone = dict.fromkeys(set(before) - set(values), math.nan)  # a logged metric can be overwritten, not deleted
    entries = [Entry(key, value, now, 0) for key, value in {**values, **gone}.items() if before.get(key) != value]
    log_entries(client, run, audit_params(manifest), audit_tags(manifest, verdict), entries)


def _log_artifacts(artifacts: Any, audit: Path) -> None:
    """The folder as it is, so that a downloaded copy is an audit folder again."""
    for pattern in _ARTIFACTS:
        for path in sorted(audit.glob(pattern)):
            artifacts.log_artifact(str(path))
    for name in ("rows", DECISIONS):
        if (audit / name).is_dir():
            artifacts.log_artifacts(str(audit / name), name)


def _datasets(manifest: AuditManifest) -> Iterator[tuple[str, DatasetRecord]]:
    for probe in manifest.probes:
        for name, record in probe.data.items():
            yield f"{probe.name}/{name}", record
