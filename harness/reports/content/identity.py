"""Whose report it is: what tells two audited models apart wherever a later report replaces an earlier one."""

from __future__ import annotations

import hashlib
import json

from harness.record.folder import AuditManifest
from harness.reports.content.api import ReportInput


def identity_of(manifest: AuditManifest) -> str:
    """sha256 over the audit's name and its checkpoint: source without digest, and base of an adapter.

    The same for every audit of a model, whatever its weights: what is found again stays one alert.
    """
    checkpoint = manifest.spec.get("checkpoint")
    base = checkpoint.get("base") if isinstance(checkpoint, dict) else None
    named = [manifest.name, manifest.checkpoint.source.split("#")[0], *([str(base)] if base else [])]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def identity(report: ReportInput) -> str:
    """`identity_of` what was audited, the same at every level of disclosure."""
    return report.identity or identity_of(report.manifest)
