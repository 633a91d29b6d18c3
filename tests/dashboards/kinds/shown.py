"""What a view draws from, made without an audit that ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dashboards.audits import Audit, read_entry
from dashboards.kinds import Declaration, Shown, declaration
from dashboards.rows import open_rows
from harness.api.metrics import Metric
from harness.api.probe import Probe
from harness.record.folder import AuditFolder, ProbeRecord
from tests.audit_folder import make_audit

BLOCKED = "20260102T030405Z-sentiment-ab12"


def audit_with(
    output: Path,
    probe: str,
    rows: dict[str, list[Any]],
    installed: type[Probe[Any]] | None = None,
    metrics: list[Metric] | None = None,
) -> AuditFolder:
    """An audit that has, besides its own, a probe with these rows and metrics."""
    return with_probe(make_audit(output, BLOCKED), probe, rows, installed, metrics)


def with_probe(
    folder: AuditFolder,
    probe: str,
    rows: dict[str, list[Any]],
    installed: type[Probe[Any]] | None = None,
    metrics: list[Metric] | None = None,
) -> AuditFolder:
    """The audit with one more probe, of these rows (status ok unless given) and metrics.

    Where the probe is `installed`, its metrics are those that it makes of the rows, unless they are given.
    """
    n = len(next(iter(rows.values())))
    table = pa.table(
        {"case_id": [f"case-{i}" for i in range(n)], "status": ["ok"] * n, "error": pa.nulls(n, pa.string()), **rows}
    )
    place = folder.path / "rows" / probe.replace("/", "__")
    place.mkdir(parents=True)
    pq.write_table(table, place / "part-000000.parquet")
    if installed is not None and metrics is None:
        metrics = [metric.with_prefix(probe) for metric in installed().measure(folder.rows(probe))]
    manifest = folder.manifest()
    own = manifest.probes[0].model_copy(
        update={
            "name": probe,
            "version": "1" if installed is None else installed.version,
            "params": {},
            "cases": n,
            "available": n,
        }
    )
    kept = [each for each in manifest.probes if each.name != probe]
    folder.write_manifest(manifest.model_copy(update={"probes": (*kept, ProbeRecord.model_validate(own.model_dump()))}))
    others = [metric for metric in folder.metrics() if not metric.key.startswith(f"{probe}/")]
    folder.write_metrics([*others, *(metrics or [])])
    return folder


def shown(
    folder: AuditFolder, probe: str, installed: type[Probe[Any]] | None = None, *, readable: bool = False
) -> Shown:
    """What a view of this probe draws from."""
    audit = read_entry(folder).audit
    assert isinstance(audit, Audit)
    rows = open_rows(folder.path, probe)
    declared = declaration(audit, probe, rows.types(), installed)
    return Shown(audit, declared, rows, readable, {}, ("test", str(folder.path)))


def declared(folder: AuditFolder, probe: str, installed: type[Probe[Any]] | None = None) -> Declaration:
    """What the probe declares of these rows."""
    return shown(folder, probe, installed).declared
