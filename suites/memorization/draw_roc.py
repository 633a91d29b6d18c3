"""The ROC of an audit's rows as an SVG of its own: `assay roc`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.api.probe import Probe
from harness.audit.measure import backed
from harness.base.files import write_text
from harness.base.plugins import PluginError, guarded
from harness.errors import NoDataError
from harness.record.folder import AuditFolder
from harness.reports.formats.curves import drawing
from suites.memorization.hygiene.roc import why_no_roc
from suites.memorization.membership.probe import Membership
from suites.memorization.shadow_attack import ShadowAttack

_PROBES: dict[str, type[Probe[Any]]] = {"membership": Membership, "shadow_attack": ShadowAttack}


def write_roc(audit: Path, attack: str, output: Path | None = None) -> Path:
    """Where the ROC of an attack's rows was written; of audits that saved none, too: rows are enough.

    Raises NoDataError where no row was scored, or nothing can be judged.
    """
    folder, probe = AuditFolder(audit), _PROBES[attack]()
    rows = folder.rows(probe.name)
    if not len(rows):
        raise NoDataError(f"{audit}: has no record that {probe.name} scored; name the folder of an audit that ran it")
    try:
        plots = guarded(lambda: probe.plots(rows), limit=None)
    except PluginError as error:
        raise NoDataError(
            f"{audit}: no curve of {probe.name} can be drawn of its rows, which are damaged or of another version of "
            f"Assay ({' '.join(str(error).split())[:200]}); audit the checkpoint again"
        ) from error
    found = backed(plots, folder.manifest().checkpoint.training)
    if not found:
        raise NoDataError(f"{audit}: no curve of {probe.name} can be drawn: {why_no_roc(rows)}")
    path = output or audit / f"{attack}-roc.svg"
    write_text(path, drawing(found[0]), private=True)
    return path
