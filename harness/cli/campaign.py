"""`assay campaign`, and campaign specs for `assay validate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.api.commands import Command, SpecKind
from harness.base.outcome import decided, verdict_due
from harness.cli.arguments import Pickle, Remote, TaskCode, Trust
from harness.errors import Exit

if TYPE_CHECKING:
    from harness.audit.plan import AuditPlan
    from harness.campaign.audited import Audited
    from harness.campaign.result import CampaignReport
    from harness.campaign.spec import CampaignSpec
    from harness.record.folder import AuditFolder


def campaign(
    spec: Annotated[Path, typer.Argument(help="YAML file with a campaign spec.")],
    allow_pickle: Pickle = False,
    allow_remote_code: Remote = False,
    trust_manifest: Trust = False,
    allow_task_code: TaskCode = False,
) -> None:
    """Run one audit over several checkpoints or variants, and compare them by paired rows; goes on where it stopped."""
    from harness.api.progress import Watch
    from harness.base.stores import store_of_environment
    from harness.campaign.result import MARKDOWN, RESULT
    from harness.campaign.run import run_campaign
    from harness.campaign.spec import load_campaign
    from harness.campaign.table import terminal
    from harness.checkpoint import Permissions
    from harness.cli.console import audit_progress, console, fail, say

    store_of_environment()  # what is wrong with it should be heard now, not when the audits are done
    asked = load_campaign(spec)
    gated = any(asked.audit_of(name).policy for name in asked.checkpoints)
    if gated:
        verdict_due()
    allowed = Permissions(allow_pickle, allow_remote_code, trust_manifest, allow_task_code)
    watch = Watch(say, cases=audit_progress)
    try:
        report = run_campaign(asked, watch, start=_start, permissions=allowed, finished=_log)
    except KeyboardInterrupt:
        fail("interrupted; what is finished is kept, go on with the same command")
        raise typer.Exit(Exit.INTERRUPTED) from None
    console.print(terminal(report))
    say("\n".join(str(asked.output / name) for name in (MARKDOWN, RESULT)))
    if report.failed:
        fail(f"{len(report.failed)} of {len(report.cells)} cells failed; the same command tries them again")
        raise typer.Exit(Exit.FAILED)
    if gated:
        raise typer.Exit(decided(_gravest(asked, report)))


def _gravest(spec: CampaignSpec, report: CampaignReport) -> Exit:
    """Of the verdicts that a policy gave; the audits without one decide nothing."""
    from harness.gate.verdict import Outcome

    given = {cell.verdict for cell in report.cells if spec.audit_of(cell.name).policy}
    if Outcome.BLOCK in given:
        return Exit.BLOCK
    return Exit.PASS if given == {Outcome.PASS} else Exit.INCONCLUSIVE


def _start(plan: AuditPlan) -> AuditFolder:
    """The folder of a cell's audit, its files scanned first, as of an audit alone."""
    from harness.audit.run import start_audit
    from harness.cli.audit import scan_first, scan_models

    scan = scan_first(plan.spec.checkpoint)
    return start_audit(plan, ["assay", *sys.argv[1:]], scan=scan, model_scans=scan_models(plan))


def _log(made: Audited) -> None:
    """To MLflow, unless that was done."""
    from harness.cli.tracking import log_audit

    if made.folder.tracking().get("state") != "logged":
        log_audit(made.folder, made.plan.spec.tracking.uri)


def _check(file: Path) -> str:
    from harness.campaign.spec import load_campaign

    spec = load_campaign(file)
    return f"campaign spec of {len(spec.checkpoints)} checkpoints against {spec.against}"


def _schema() -> dict[str, Any]:
    from harness.campaign.spec import CampaignSpec

    return CampaignSpec.model_json_schema()


campaign_command = Command(campaign, "assay campaign campaign.yaml")
spec_kind = SpecKind("a campaign spec", ("checkpoints", "reference"), _check, _schema)
