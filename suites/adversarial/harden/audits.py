"""All checkpoints of a hardening under the same audit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.api.progress import OnProgress
from harness.audit.plan import AuditPlan, make_plan
from harness.audit.run import resume_plan, run_audit, start_audit
from harness.audit.spec import AuditSpec
from harness.base.validation import validated
from harness.errors import AuditError, UsageError
from harness.record.events import progress_reader
from harness.record.folder import AuditFolder, Status, audits_in
from suites.adversarial.harden.spec import HardenSpec

CLEAN, ATTACKED = 1000, 200
"""Most texts that the default audit classifies and attacks."""
_OURS = ("checkpoint", "name", "output")
"""Keys of an audit that the hardening sets."""


@dataclass(frozen=True, slots=True)
class Audited:
    """A finished audit of one checkpoint."""

    folder: AuditFolder
    plan: AuditPlan

    def trained_on(self, texts: Collection[str]) -> int:
        """How many of the texts that it reads are among `texts`, those trained on."""
        known = set(texts)
        read = (
            data.frame["text"] for probe in self.plan.probes for data in probe.data.values() if "text" in data.frame
        )
        return len({str(text) for column in read for text in column} & known)


def audit_spec(spec: HardenSpec, checkpoint: Path, output: Path) -> AuditSpec:
    """The audit of one checkpoint. Raises UsageError for an audit that cannot be read."""
    asked = spec.audit if spec.audit is not None else _default(spec)
    values = {key: value for key, value in asked.items() if key not in _OURS}
    ours = {"checkpoint": str(checkpoint), "name": checkpoint.name, "output": str(output)}
    return validated(AuditSpec, {"tracking": {"uri": "off"}, **values, **ours}, "audit")


def run_audits(spec: AuditSpec, weights: str, on_cases: OnProgress) -> Audited:
    """Run the audit, or take up one of the same spec, checkpoint and cases. Raises AuditError for other weights."""
    folder, plan = _begun(spec) or (None, make_plan(spec))
    folder = folder or start_audit(plan, ["assay", "harden"])
    if folder.manifest().status is not Status.FINISHED:
        run_audit(plan, folder, progress_reader(folder.path, on_cases))
    if folder.manifest().checkpoint.weights != weights:
        raise AuditError(f"{spec.checkpoint.source}: its weights changed while it was audited; harden again")
    return Audited(folder, plan)


def _default(spec: HardenSpec) -> dict[str, Any]:
    """Accuracy, and the attack that the model is hardened against, on the held-out texts."""
    assert spec.train.held_out is not None  # HardenSpec has checked it
    held_out = {"examples": spec.train.held_out.model_dump(mode="json")}
    attack = spec.attack_params(0).model_dump(mode="json")
    return {
        "probes": [
            {"name": "quality/classification", "data": held_out, "limit": CLEAN},
            {"name": f"adversarial/{spec.recipe}", "data": held_out, "limit": ATTACKED, "params": attack},
        ],
        "seed": spec.seed,
        "device": spec.train.device,
        "dtype": "fp32",
    }


def _begun(spec: AuditSpec) -> tuple[AuditFolder, AuditPlan] | None:
    """The latest audit of the same checkpoint on the same cases, with its plan."""
    for folder in audits_in(spec.output):
        try:
            if folder.manifest().spec_digest == spec.digest():
                return folder, resume_plan(folder)
        except UsageError:  # damaged, or the checkpoint or the texts have changed since
            continue
    return None
