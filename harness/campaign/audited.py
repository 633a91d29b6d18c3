"""The audit of one checkpoint among several: begun, taken up, or found finished."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from harness.api.progress import OnProgress
from harness.audit.plan import AuditPlan, make_plan
from harness.audit.run import resume_plan, run_audit
from harness.audit.spec import AuditSpec
from harness.checkpoint import NOTHING, Permissions
from harness.errors import AuditError, UsageError
from harness.record.events import progress_reader
from harness.record.folder import AuditFolder, Status, audits_in

Start = Callable[[AuditPlan], AuditFolder]
"""Makes the folder of a planned audit."""


@dataclass(frozen=True, slots=True)
class Audited:
    """A finished audit of one checkpoint."""

    folder: AuditFolder
    plan: AuditPlan
    ran: bool = True
    """Whether it had anything left to do."""

    def trained_on(self, texts: Collection[str]) -> int:
        """How many of the texts that it reads are among `texts`, those trained on."""
        known = set(texts)
        read = (
            data.frame["text"] for probe in self.plan.probes for data in probe.data.values() if "text" in data.frame
        )
        return len({str(text) for column in read for text in column} & known)


def audited(
    spec: AuditSpec, start: Start, on_progress: OnProgress = lambda *_: None, *, permissions: Permissions = NOTHING
) -> Audited:
    """Run the audit, or take up the latest one of the same spec, checkpoint and cases in its output folder."""
    folder, plan = _begun(spec, permissions) or (None, make_plan(spec, permissions=permissions))
    folder = folder or start(plan)
    ran = folder.manifest().status is not Status.FINISHED
    if ran:
        run_audit(plan, folder, progress_reader(folder.path, on_progress))
    return Audited(folder, plan, ran)


def check_weights(made: Audited, weights: str, again: str) -> None:
    """Raises AuditError, which ends with what to do `again`, where other weights than these were audited."""
    if made.folder.manifest().checkpoint.weights != weights:
        raise AuditError(f"{made.plan.spec.checkpoint.source}: its weights changed while it was {again}")


def _begun(spec: AuditSpec, permissions: Permissions) -> tuple[AuditFolder, AuditPlan] | None:
    for folder in audits_in(spec.output):
        try:
            if folder.manifest().spec_digest == spec.digest():
                return folder, resume_plan(folder, permissions=permissions)
        except (UsageError, AuditError):  # the checkpoint or the data have changed since, or this audit is damaged
            continue
    return None
