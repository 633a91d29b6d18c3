"""All checkpoints of a hardening under the same audit."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from harness.api.progress import OnProgress
from harness.audit.run import start_audit
from harness.audit.spec import AuditSpec
from harness.base.validation import validated
from harness.campaign.audited import Audited, audited, check_weights
from suites.adversarial.harden.spec import HardenSpec

CLEAN, ATTACKED = 1000, 200
"""Most texts that the default audit classifies and attacks."""
_OURS = ("checkpoint", "name", "output")
"""Keys of an audit that the hardening sets."""


def audit_spec(spec: HardenSpec, checkpoint: Path, output: Path) -> AuditSpec:
    """The audit of one checkpoint. Raises UsageError for an audit that cannot be read."""
    asked = spec.audit if spec.audit is not None else _default(spec)
    values = {key: value for key, value in asked.items() if key not in _OURS}
    ours = {"checkpoint": str(checkpoint), "name": checkpoint.name, "output": str(output)}
    return validated(AuditSpec, {"tracking": {"uri": "off"}, **values, **ours}, "audit")


def run_audits(spec: AuditSpec, weights: str, on_cases: OnProgress) -> Audited:
    """Run the audit, or take up one of the same spec, checkpoint and cases. Raises AuditError for other weights."""
    made = audited(spec, partial(start_audit, command=["assay", "harden"]), on_cases)
    check_weights(made, weights, "audited; harden again")
    return made


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
