"""What a probe works out before its cases: where it is kept, by which digest, and what it cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from harness.api.models import Models
from harness.api.probe import Plan
from harness.api.scorer import Counts
from harness.audit.models import OtherModels, infos_of, work_between
from harness.audit.plan import AuditPlan, PlannedProbe
from harness.errors import AssayError
from harness.record.folder import AuditFolder, WorkRecord
from harness.record.prepared import PREPARED, KeptOnDisk, prepared_digest


class PreparationError(Exception):
    """A probe's own fault: it could not prepare, so none of its cases can run; the other probes can."""


def prepared_store(plan: AuditPlan, planned: PlannedProbe, folder: AuditFolder) -> KeptOnDisk:
    """Where a probe of an audit keeps what it prepares: in the audit, or in the spec's shared folder, by digest.

    The digest is over the probe, its params, its models and its data. An audit inside a checkpoint's folder trusts
    nothing that lies there: it may have come with the checkpoint.
    """
    home, probe = plan.spec.prepared or folder.path / PREPARED, planned.probe
    digest = prepared_digest(
        probe=[probe.name, probe.version, probe.params.model_dump(mode="json")],
        subject=[plan.info.fingerprint.digest, folder.manifest().dtype],
        models={role: list(each.key) for role, each in planned.models.items()},
        data={name: data.digest for name, data in planned.data.items()},
        cases=planned.cases_digest,
        seed=plan.spec.seed,
    )
    suspect = any(info.holds(home) for info in infos_of(plan.info, planned.models))
    return KeptOnDisk(home / digest, afresh=suspect)


def prepare(plan: AuditPlan, planned: PlannedProbe, models: Models, others: OtherModels, folder: AuditFolder) -> None:
    """Let a bound probe prepare, and record its work, also where it is broken off.

    Raises PreparationError where the probe fails; what the models or the disk raise, as it is.
    """
    subject = models.subject
    before, start = {"": replace(subject.counts), **others.counts(planned.models)}, time.monotonic()
    try:
        planned.probe.prepare(models, Plan(plan.info, plan.spec.seed, planned.data, planned.cases))
    except (AssayError, OSError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plug-in may raise anything, sys.exit included
        raise PreparationError(f"it could not be prepared ({type(error).__name__}: {error})") from error
    finally:
        after = {"": subject.counts, **others.counts(planned.models)}
        _record(folder, planned.probe.name, before, after, time.monotonic() - start)


def _record(
    folder: AuditFolder, probe: str, before: Mapping[str, Counts], after: Mapping[str, Counts], elapsed: float
) -> None:
    """Of each model that was asked; nothing where none was, as all was there already."""
    done = {role: work_between(before[role], counts) for role, counts in after.items()}
    work = [
        WorkRecord(probe=probe, model=role, stage="prepare", elapsed=elapsed, **each)
        for role, each in done.items()
        if any(each.values())
    ]
    if work:
        manifest = folder.manifest()
        folder.write_manifest(manifest.model_copy(update={"work": (*manifest.work, *work)}))
