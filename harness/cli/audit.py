"""Commands that audit: run, plan, resume."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness import __version__
from harness.base.outcome import decided, verdict_due
from harness.cli.arguments import (
    Base,
    Cache,
    Checkpoint,
    Data,
    Device,
    Dtype,
    Home,
    Language,
    Limit,
    Minutes,
    Output,
    Pickle,
    PolicyFile,
    Remote,
    Repeat,
    Run,
    Seed,
    Spec,
    Suite,
    TaskCode,
    Trust,
    Uri,
    audit_folder,
)
from harness.cli.console import fail, say, show_plan
from harness.cli.overrides import given_options, spec_with
from harness.cli.tracking import log_audit
from harness.errors import AssayError, Exit

if TYPE_CHECKING:
    from harness.audit.plan import AuditPlan
    from harness.audit.run import AuditResult
    from harness.checkpoint import CheckpointSource
    from harness.gate.verdict import Verdict
    from harness.record.folder import AuditFolder
    from harness.scan import ScanReport


def run(
    spec: Spec = None,
    checkpoint: Checkpoint = None,
    suite: Suite = None,
    data: Data = None,
    policy: PolicyFile = None,
    output: Output = None,
    tracking_uri: Uri = None,
    seed: Seed = None,
    limit: Limit = None,
    minutes: Minutes = None,
    device: Device = None,
    dtype: Dtype = None,
    cache: Cache = None,
    allow_pickle: Pickle = False,
    allow_remote_code: Remote = False,
    trust_manifest: Trust = False,
    allow_task_code: TaskCode = False,
    base: Base = None,
    repeat: Repeat = 1,
    language: Language = "en",
) -> None:
    """Audit a checkpoint: run its probes, measure, decide, report and log."""
    from harness.audit.plan import check_rules, make_plan
    from harness.audit.repeats import repeats_of
    from harness.audit.run import start_audit
    from harness.base.stores import store_of_environment
    from harness.checkpoint import Permissions

    store_of_environment()  # what is wrong with it should be heard now, not when the audit is done
    verdict_due()
    options = given_options(
        checkpoint, suite, policy, output, tracking_uri, seed, limit, minutes, device, dtype, data, cache
    )
    allowed = Permissions(allow_pickle, allow_remote_code, trust_manifest, allow_task_code)
    asked = spec_with(spec, options, base)
    scan = scan_first(asked.checkpoint)
    plan = make_plan(asked, permissions=allowed)
    check_rules(plan)
    more = repeats_of(plan, repeat) if repeat > 1 else []
    show_plan(plan, cost=False)
    say(f"scan       {scan.headline}")
    folder = start_audit(plan, ["assay", *sys.argv[1:]], scan=scan, model_scans=scan_models(plan))
    say(f"audit {folder.path.name}; if it stops: assay resume {folder.path}")
    verdict = _finish(plan, folder, language)
    if more:
        _repeat(plan, folder, more, language)
    raise typer.Exit(decided(verdict.exit_code))


def plan(
    spec: Spec = None,
    checkpoint: Checkpoint = None,
    suite: Suite = None,
    data: Data = None,
    policy: PolicyFile = None,
    limit: Limit = None,
    seed: Seed = None,
    allow_pickle: Pickle = False,
    allow_remote_code: Remote = False,
    trust_manifest: Trust = False,
    allow_task_code: TaskCode = False,
    base: Base = None,
    like: Annotated[
        str | None,
        typer.Option(help="Audit whose values and intervals the gates' needs go by.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Dry run: probes, cases, data, time, and which gates so many cases can decide. Loads no weights."""
    from harness.audit.inspections import kept_inspection
    from harness.audit.plan import check_rules, make_plan, power_of
    from harness.checkpoint import Permissions
    from harness.cli.console import show_plan_json, show_power

    options = given_options(checkpoint, suite, policy, None, None, seed, limit, None, None, None, data)
    allowed = Permissions(allow_pickle, allow_remote_code, trust_manifest, allow_task_code)
    made = make_plan(spec_with(spec, options, base), permissions=allowed, inspect=kept_inspection)
    check_rules(made)
    power = power_of(made, audit_folder(like, made.spec.output).metrics() if like else ())
    if as_json:
        show_plan_json(made, power)
        return
    show_plan(made, cost=True)
    show_power(power)


def resume(
    run: Run = "latest",
    output: Home = Path("audits"),
    allow_pickle: Pickle = False,
    allow_remote_code: Remote = False,
    trust_manifest: Trust = False,
    allow_task_code: TaskCode = False,
    language: Language = "en",
) -> None:
    """Go on with an audit that was interrupted or killed. Repeats nothing that is finished.

    What the first command line allowed is allowed again only if this one says so: a folder may come from anywhere.
    """
    from harness.audit.run import resume_plan, with_scan
    from harness.base.stores import store_of_environment
    from harness.checkpoint import Permissions

    store_of_environment()
    verdict_due()
    folder = audit_folder(run, output)
    allowed = Permissions(allow_pickle, allow_remote_code, trust_manifest, allow_task_code)
    plan = resume_plan(folder, permissions=allowed)
    folder.write_manifest(with_scan(folder, folder.manifest(), scan_first(plan.spec.checkpoint)))
    raise typer.Exit(decided(_finish(plan, folder, language).exit_code))


def scan_first(checkpoint: CheckpointSource) -> ScanReport:
    """A scan of the checkpoint's files; one that cannot be made says why, and is never clean."""
    from harness.scan import ScanReport, Unscanned, scan_checkpoint

    try:
        return scan_checkpoint(checkpoint.source, revision=checkpoint.revision)
    except AssayError as error:
        missed = Unscanned(file=".", why=str(error)[:300])
        return ScanReport(source=checkpoint.source, kind="unknown", version=__version__, unscanned=(missed,))


def scan_models(plan: AuditPlan) -> dict[str, ScanReport]:
    """A scan of each model beside the checkpoint, by its source, said in a line as the checkpoint's own is."""
    from harness.audit.models import distinct

    sources = {each.info.source.source: each.info.source for each in distinct(one.models for one in plan.probes)}
    scans = {name: scan_first(source) for name, source in sources.items()}
    for name, scan in scans.items():
        say(f"scan       {name.split('#')[0]}: {scan.headline}")
    return scans


def _finish(plan: AuditPlan, folder: AuditFolder, language: str) -> Verdict:
    """Run, print, log; the verdict."""
    from harness.cli.console import show_outcome

    result = _run(plan, folder, language)
    show_outcome(result.manifest, result.metrics, result.verdict)
    log_audit(folder, plan.spec.tracking.uri)
    say(f"report     {folder.path / 'report.html'}\ndashboard  assay dashboard --output {plan.spec.output}")
    return result.verdict


def _run(plan: AuditPlan, folder: AuditFolder, language: str) -> AuditResult:
    from harness.audit.run import run_audit
    from harness.cli.console import audit_progress
    from harness.record.events import progress_reader

    try:
        with audit_progress() as on_progress:
            return run_audit(plan, folder, progress_reader(folder.path, on_progress), language)
    except KeyboardInterrupt:
        fail(f"interrupted; what is finished is kept, go on with: assay resume {folder.path}")
        raise typer.Exit(Exit.INTERRUPTED) from None


def _repeat(plan: AuditPlan, first: AuditFolder, more: list[AuditPlan], language: str) -> None:
    """The audits of the further seeds, then what all of them say; the verdict is the first one's."""
    from harness.audit.repeats import inside, write_repeats
    from harness.audit.run import start_audit
    from harness.cli.console import show_repeats

    folders = [first]
    for again in more:
        folders.append(start_audit(inside(again, first), ["assay", *sys.argv[1:]]))
        say(f"audit {folders[-1].path.name} ({again.spec.title})")
        _run(again, folders[-1], language)
    show_repeats(write_repeats(folders, plan), first)
