"""Commands that decide a finished audit again: gate, release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.base.outcome import decided, verdict_due
from harness.cli.arguments import Home, Pickle, Remote, Run, Uri, audit_folder
from harness.cli.console import fail, say
from harness.cli.tracking import logged
from harness.errors import AssayError, Exit

if TYPE_CHECKING:
    from harness.gate.policy import Policy
    from harness.gate.verdict import Verdict
    from harness.record.folder import AuditFolder


def gate(
    run: Run,
    policy: Annotated[Path, typer.Option(help="YAML file with gates.")],
    output: Home = Path("audits"),
    baseline: Annotated[
        str | None,
        typer.Option(help="Audit to compare with: folder, id, MLflow run id or [model]@alias.", show_default=False),
    ] = None,
    allow_other_data: Annotated[
        bool, typer.Option("--allow-other-data", help="Compare common cases even where the datasets differ.")
    ] = False,
    ratchet: Annotated[
        Path | None,
        typer.Option(help="On a pass, write tighter bounds as a diff of the policy to this file.", show_default=False),
    ] = None,
    tracking_uri: Uri = None,
) -> None:
    """Decide a finished audit again under a policy, without the model; the exit code is the verdict."""
    from harness.audit.run import regate
    from harness.cli.console import show_outcome
    from harness.gate.decide import load_policy

    verdict_due()
    rules = load_policy(policy)
    result = regate(
        audit_folder(run, output),
        rules,
        baseline=baseline,
        allow_other_data=allow_other_data,
        uri=tracking_uri,
    )
    show_outcome(result.manifest, result.metrics, result.verdict)
    if ratchet is not None:
        _ratchet(policy, result.verdict, ratchet)
    _keep(result.folder, rules, result.verdict)
    raise typer.Exit(decided(result.verdict.exit_code))


def release(
    run: Run,
    name: Annotated[str, typer.Option(help="Registered model; made when there is none.")],
    alias: Annotated[str, typer.Option(help="Alias that moves to this version on a pass.")],
    policy: Annotated[
        Path | None,
        typer.Option(help="Decide by this policy (default: that of the newest verdict).", show_default=False),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Audit to compare a first release with; later it is the alias's version.", show_default=False
        ),
    ] = None,
    by: Annotated[str, typer.Option(help="Who releases (default: the login name).", show_default=False)] = "",
    output: Home = Path("audits"),
    tracking_uri: Uri = None,
    allow_pickle: Pickle = False,
    allow_remote_code: Remote = False,
) -> None:
    """Register an audited checkpoint in MLflow's model registry; the alias moves on a pass only.

    A policy with a baseline is decided against the version that the alias points to now.
    """
    from harness.checkpoint import Permissions
    from harness.gate.decide import load_policy
    from harness.release.release import already_there, finished, release_verdict
    from harness.release.release import release as register
    from harness.tracking.fetch import check_alias

    verdict_due()
    folder = audit_folder(run, output)
    finished(folder)
    check_alias(name, alias)
    rules = load_policy(policy) if policy is not None else folder.policy()
    uri, run_id = logged(folder, tracking_uri)
    there = already_there(folder, uri, name, alias)
    if there is not None and rules is not None and any(each.baseline is not None for each in rules.gates):
        # nothing is decided anew: beside itself an audit proves nothing, and its version says what it was released by
        say(f"{there.sentence} already, released as {there.verdict.outcome}: {there.verdict.reason}")
        raise typer.Exit(decided(there.verdict.exit_code))
    verdict = release_verdict(folder, rules, uri, name, alias, baseline)
    if rules is not None:
        _keep(folder, rules, verdict)
    done = register(
        folder, verdict, uri, run_id, name, alias, by=by, permissions=Permissions(allow_pickle, allow_remote_code)
    )
    say(done.sentence)
    under = f" under the policy {rules.name!r}" if rules is not None else ""
    say(f"verdict    {verdict.outcome}{under}: {verdict.reason}")
    raise typer.Exit(decided(done.verdict.exit_code))


def _ratchet(policy: Path, verdict: Verdict, target: Path) -> None:
    """Write the diff of tighter bounds, if there is any, and say so."""
    from harness.base.files import write_text
    from harness.gate.ratchet import ratchet_diff

    diff = ratchet_diff(policy, verdict)
    if not diff:
        why = "no bound would be tighter" if verdict.exit_code == Exit.PASS else f"the verdict is {verdict.outcome}"
        say(f"ratchet    unchanged: {why}")
        return
    write_text(target, diff)
    say(f"ratchet    {target}; review it, then: git apply {target}")


def _keep(folder: AuditFolder, policy: Policy, verdict: Verdict) -> None:
    """Write a verdict back, to the folder and the audit's run; where that fails it is said, and the verdict stands."""
    from datetime import UTC, datetime

    from harness.record.folder import Decision
    from harness.tracking.log import log_decision

    decision = Decision(decided_at=datetime.now(UTC).isoformat(), policy=policy, verdict=verdict)
    try:
        say(f"kept       {folder.add_decision(decision)}")
        log_decision(folder)
    except (AssayError, OSError) as error:
        fail(f"this verdict is not kept whole: {error}")
