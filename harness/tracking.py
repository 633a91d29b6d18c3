"""MLflow, the run of record: one run per finished audit, written from the audit's folder alone."""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import AssayError
from harness.gate import Outcome, Verdict
from harness.mlflow_session import TrackingError, mlflow_session, shown_uri
from harness.pypi import is_pypi
from harness.record import AuditFolder, AuditManifest, DatasetRecord, Status, audits_in

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

    from harness.metrics import Metric

__all__ = ["TrackingError", "default_uri", "log_audit", "pending"]

AUDIT_ID = "assay.audit_id"
LOGGED = "assay.logged"
_DIGEST_LENGTH = 36
"""MLflow keeps at most so many characters of a dataset's digest."""
_PARAM_LENGTH, _TAG_LENGTH, _NAME_LENGTH = 500, 2000, 500
_METRICS_PER_CALL, _ENTRIES_PER_CALL = 1000, 50
"""MLflow takes at most 1000 metrics, and 100 params and tags together, in one call."""
_ARTIFACTS = ("spec.yaml", "manifest.json", "metrics.json", "verdict.json", "report.*")
_ELSEWHERE = ("data", "output", "policy", "probes", "tracking")
"""Keys of the spec that are no params: they are logged as inputs, verdict and artifacts, or are not about the audit."""


def default_uri(output: Path) -> str:
    """The sqlite store beside the audits of `output`."""
    return f"sqlite:///{output.absolute() / 'mlflow.db'}"


def log_audit(folder: AuditFolder, uri: str, experiment: str) -> str:
    """Log a finished audit and note it in its tracking.json; returns the run id.

    An audit logged before is updated, not repeated. Raises TrackingError when it is not finished, or when the store is
    away or refuses it.
    """
    manifest, metrics, verdict = _read(folder)
    with mlflow_session(uri) as client:
        experiment_id = _experiment(client, uri, experiment)
        run = _run(client, experiment_id, manifest)
        run_id = str(run.info.run_id)
        _log_entries(client, run, manifest, metrics, verdict)
        client.log_inputs(run_id, dataset_inputs(manifest))
        _log_artifacts(client, run_id, folder.path)
        client.set_terminated(run_id, status="FINISHED", end_time=_milliseconds(manifest.finished))
    folder.write_tracking({"uri": uri, "run_id": run_id, "experiment": experiment, "state": "logged"})
    return run_id


def pending(output: Path) -> list[AuditFolder]:
    """Finished audits directly below `output` that were to be logged and are not."""
    return [folder for folder in audits_in(output) if _waits(folder)]


def audit_params(manifest: AuditManifest) -> dict[str, str]:
    """The spec as flat params: `limits.cases`, and `suite/probe.setting` for every setting the spec gives."""
    spec = {key: value for key, value in manifest.spec.items() if key not in _ELSEWHERE}
    params = dict(_flat(spec))
    params["probes"] = ", ".join(probe.name for probe in manifest.probes)
    for entry in manifest.spec.get("probes", ()):
        params.update(_flat({entry["name"]: entry.get("params", {})}))
    return {key: text[:_PARAM_LENGTH] for key, text in params.items()}


def audit_tags(manifest: AuditManifest, verdict: Verdict | None) -> dict[str, str]:
    """What a run is searched by: identity, digests, versions, verdict."""
    checkpoint = manifest.checkpoint
    tags = {
        AUDIT_ID: manifest.audit_id,
        LOGGED: datetime.now(UTC).isoformat(),
        "assay.status": str(manifest.status),
        "assay.checkpoint": checkpoint.source,
        "assay.fingerprint": checkpoint.fingerprint,
        "assay.weights": checkpoint.weights,
        "assay.config": checkpoint.config,
        "assay.tokenizer": checkpoint.tokenizer,
        "assay.spec_digest": manifest.spec_digest,
        "mlflow.source.name": "assay",
        "mlflow.source.type": "LOCAL",
    }
    tags |= {f"assay.data.{where}": record.digest for where, record in _datasets(manifest)}
    tags |= {f"assay.version.{package}": number for package, number in manifest.versions.items()}
    if manifest.git_commit:
        tags |= {"assay.git_commit": manifest.git_commit, "mlflow.source.git.commit": manifest.git_commit}
    if verdict is not None:
        tags |= {"assay.verdict": str(verdict.outcome), "assay.verdict_reason": verdict.reason}
        tags |= {f"assay.gates.{outcome}": str(count) for outcome, count in gate_counts(verdict).items()}
    return {key: text[:_TAG_LENGTH] for key, text in tags.items()}


def gate_counts(verdict: Verdict) -> dict[str, int]:
    """How many gates of a verdict ended in each outcome."""
    ends = Counter(str(result.outcome) for result in verdict.gates)
    return {str(outcome): ends[outcome] for outcome in Outcome}


def metric_values(metrics: Sequence[Metric]) -> dict[str, float]:
    """Headline metrics as `suite/probe/metric`, with `/low`, `/high` and `/n`; a missing number has no entry.

    A metric about a subset is keyed `suite/probe/metric/slice/<subset>`.
    """
    values: dict[str, float] = {}
    for metric in metrics:
        if not metric.headline or metric.value is None:
            continue
        key = metric.key + (f"/slice/{_safe(metric.slice)}" if metric.slice else "")
        parts = {"": metric.value, "/low": metric.low, "/high": metric.high, "/n": float(metric.n)}
        values.update({key + end: number for end, number in parts.items() if number is not None})
    return values


def dataset_inputs(manifest: AuditManifest) -> list[DatasetInput]:
    """Each dataset once, by source and digest; its context names the probes that read it. No data is sent."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    readers: dict[tuple[str, str], list[str]] = {}
    records: dict[tuple[str, str], DatasetRecord] = {}
    for where, record in _datasets(manifest):
        name = str(record.source.get("source", "unknown")).split("#")[0][-_NAME_LENGTH:]
        readers.setdefault((name, record.digest), []).append(where)
        records[name, record.digest] = record
    return [
        DatasetInput(
            Dataset(
                name=name,
                digest=digest[:_DIGEST_LENGTH],
                source_type=_source_type(name),
                source=json.dumps(records[name, digest].source),
                profile=json.dumps({"num_rows": records[name, digest].n}),
            ),
            [InputTag("mlflow.data.context", ", ".join(users)[:_NAME_LENGTH])],
        )
        for (name, digest), users in readers.items()
    ]


def _read(folder: AuditFolder) -> tuple[AuditManifest, list[Metric], Verdict | None]:
    try:
        manifest = folder.manifest()
        if manifest.status is not Status.FINISHED:
            raise TrackingError(f"{folder.path}: the audit is {manifest.status}, only finished ones are logged")
        return manifest, folder.metrics(), folder.verdict()
    except ValueError as error:  # metrics or verdict of another shape
        raise TrackingError(f"{folder.path}: damaged results ({str(error).splitlines()[0]})") from error


def _waits(folder: AuditFolder) -> bool:
    try:
        manifest = folder.manifest()
    except AssayError:  # a damaged audit cannot be sent; `assay show` names it
        return False
    if manifest.status is not Status.FINISHED or manifest.spec.get("tracking", {}).get("uri") == "off":
        return False
    try:
        return folder.tracking().get("state") != "logged"
    except ValueError:  # a damaged note is as good as none: logging again finds the run, if there is one
        return True


def _experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Id of the experiment, created when needed; a local sqlite store keeps its artifacts beside itself."""
    found = client.get_experiment_by_name(name)
    if found is None:
        store = Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None
        location = (store.parent / "mlartifacts").as_uri() if store else None
        return str(client.create_experiment(name, artifact_location=location))
    if found.lifecycle_stage == "deleted":
        raise TrackingError(f"{shown_uri(uri)}: the experiment {name!r} is deleted; restore it or name another")
    return str(found.experiment_id)


def _run(client: MlflowClient, experiment_id: str, manifest: AuditManifest) -> Run:
    quoted = manifest.audit_id.replace("'", "")
    found = client.search_runs([experiment_id], f"tags.`{AUDIT_ID}` = '{quoted}'", max_results=1)
    if found:
        return found[0]
    tags = {AUDIT_ID: manifest.audit_id}  # at birth, so that a run cut short is found again
    return client.create_run(experiment_id, _milliseconds(manifest.created), tags, run_name=manifest.name)


def _log_entries(
    client: MlflowClient, run: Run, manifest: AuditManifest, metrics: Sequence[Metric], verdict: Verdict | None
) -> None:
    from mlflow.entities import Metric as Entry
    from mlflow.entities import Param, RunTag

    run_id, now = run.info.run_id, time.time_ns() // 1_000_000
    tags = [RunTag(key, text) for key, text in audit_tags(manifest, verdict).items()]
    params = [Param(key, text) for key, text in audit_params(manifest).items() if key not in run.data.params]
    before = run.data.metrics
    values = metric_values(metrics)
    gone = dict.fromkeys(set(before) - set(values), math.nan)  # a logged metric can be overwritten, not deleted
    entries = [Entry(key, value, now, 0) for key, value in {**values, **gone}.items() if before.get(key) != value]
    for start in range(0, max(len(tags), len(params)), _ENTRIES_PER_CALL):
        part = slice(start, start + _ENTRIES_PER_CALL)
        client.log_batch(run_id, params=params[part], tags=tags[part], synchronous=True)
    for start in range(0, len(entries), _METRICS_PER_CALL):
        client.log_batch(run_id, entries[start : start + _METRICS_PER_CALL], synchronous=True)


def _log_artifacts(client: MlflowClient, run_id: str, audit: Path) -> None:
    """The folder as it is, so that a downloaded copy is an audit folder again."""
    for pattern in _ARTIFACTS:
        for path in sorted(audit.glob(pattern)):
            client.log_artifact(run_id, str(path))
    if (audit / "rows").is_dir():
        client.log_artifacts(run_id, str(audit / "rows"), "rows")


def _datasets(manifest: AuditManifest) -> Iterator[tuple[str, DatasetRecord]]:
    for probe in manifest.probes:
        for name, record in probe.data.items():
            yield f"{probe.name}/{name}", record


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif value not in (None, "", [], ()):
            yield _safe(prefix + key), value if isinstance(value, str) else json.dumps(value)


def _safe(name: str) -> str:
    """`name` in the characters MLflow allows in keys on every platform."""
    return re.sub(r"[^\w\-. /]", "_", name)


def _source_type(source: str) -> str:
    if is_pypi(source):
        return "pypi"
    return "local" if Path(source).expanduser().exists() or Path(source).suffix else "hugging_face"


def _milliseconds(moment: str | None) -> int | None:
    """Unix time in ms of an ISO 8601 moment."""
    return int(datetime.fromisoformat(moment).timestamp() * 1000) if moment else None
