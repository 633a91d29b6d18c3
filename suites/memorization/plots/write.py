"""Draws from an audit's folder."""

from __future__ import annotations

from pathlib import Path

from harness.base.files import write_text
from harness.errors import NoDataError
from harness.record.folder import AuditFolder
from suites.memorization.membership.probe import Membership, MembershipParams
from suites.memorization.plots.roc import Points, curves, drawing

NAME = "membership-roc.svg"


def write_roc(audit: Path, output: Path | None = None) -> Path:
    """Where it was written. Raises NoDataError where the audit has no rows of membership that can be judged."""
    folder = AuditFolder(audit)
    rows = folder.rows(Membership.name)
    good = rows[rows["status"] == "ok"] if len(rows) else rows
    if not len(good):
        raise NoDataError(f"{audit}: has no record that memorization/membership scored; name the folder of an audit")
    path = output or audit / NAME
    write_text(path, drawing(curves(good), _ceiling(folder, list(good["ceilings"].iloc[0]))), private=True)
    return path


def _ceiling(folder: AuditFolder, allowed: list[float]) -> Points:
    """What the claim allows at the rates that the audit asked for."""
    params = next(each.params for each in folder.manifest().probes if each.name == Membership.name)
    fprs = MembershipParams.model_validate(params).fprs
    return tuple(sorted(zip(fprs, allowed, strict=True))) if allowed else ()
