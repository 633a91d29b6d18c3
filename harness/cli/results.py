"""Commands that show finished audits: show, report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.arguments import Home, Language, Run, audit_folder
from harness.cli.console import say
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.gate.verdict import Verdict
    from harness.record.folder import AuditFolder
    from harness.reports.content.api import Level, ReportInput, Undecided


def show(
    run: Annotated[str | None, typer.Argument(help="Audit; none: list them.")] = None,
    output: Home = Path("audits"),
    level: Annotated[
        str | None,
        typer.Option(help="summary, findings (rows, text masked) or full (rows with text).", show_default=False),
    ] = None,
) -> None:
    """Print an audit's table and verdict, or list the audits of a folder."""
    from harness.cli.console import show_audits, show_result
    from harness.record.folder import audits_in

    if run is None:
        show_audits(list(audits_in(output)))
        return
    folder = audit_folder(run, output)
    show_result(folder, _level(level) if level else None)
    for later in folder.decisions():
        verdict = later.verdict
        say(f"decided again on {later.decided_at[:10]} under {verdict.policy!r}: {verdict.outcome}; {verdict.reason}")


def report(
    run: Run = "latest",
    formats: Annotated[
        str | None,
        typer.Option("--format", help="Formats, separated by commas; none: the default ones.", show_default=False),
    ] = None,
    level: Annotated[
        str, typer.Option(help="summary, findings, full (shows text of rows) or reproduction (and a zip).")
    ] = "findings",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to (default: the audit's own, reports-LEVEL in it for a level but findings).",
            show_default=False,
        ),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Decide by this policy first, as `assay gate` does.", show_default=False)
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="With --policy: audit to compare with.", show_default=False)
    ] = None,
    allow_other_data: Annotated[
        bool, typer.Option("--allow-other-data", help="Compare common cases even where the datasets differ.")
    ] = False,
    card: Annotated[
        Path | None, typer.Option(help="Model card whose audit section is replaced or added.", show_default=False)
    ] = None,
    audits: Annotated[Path, typer.Option(help="Folder of audits.")] = Path("audits"),
    undecided: Annotated[
        str | None,
        typer.Option(
            help="What JUnit makes of an undecided gate: skipped (green in CI) or failure; default: the spec's.",
            show_default=False,
        ),
    ] = None,
    language: Language = "en",
    list_formats: Annotated[bool, typer.Option("--list", help="List the formats and write nothing.")] = False,
) -> None:
    """Write the reports of a decided audit again, without a model: other formats, another level of disclosure."""
    from harness.cli.console import show_formats
    from harness.reports import recorded_input, update_card

    if list_formats:
        show_formats()
        return
    folder, shown = audit_folder(run, audits), _level(level)
    verdict = _gated(folder, policy, baseline, allow_other_data, output or card)
    content = recorded_input(folder, shown, verdict, _undecided(undecided) if undecided else None, language)
    names = [name.strip() for name in (formats or "").split(",") if name.strip()]
    if card is not None:
        update_card(content, card)
        say(f"{card}")
        if not names:
            return
    own = folder.path if shown == "findings" else folder.path / f"reports-{shown}"  # only the former go to MLflow
    _write(content, names, output or own)


def _write(content: ReportInput, formats: Sequence[str], output: Path) -> None:
    from harness.reports import render_again
    from harness.reports.formats.step_summary import append

    for name, path in render_again(content, formats, output).items():
        say(str(path))
        if name == "step-summary" and append(path.read_text(encoding="utf-8")):
            say("appended to the summary of this job")


def _gated(
    folder: AuditFolder, policy: Path | None, baseline: str | None, allow_other_data: bool, output: Path | None
) -> Verdict | None:
    """The verdict of another policy; None without one."""
    from harness.audit.run import regate
    from harness.gate.decide import load_policy

    if policy is None:
        if baseline is not None:
            raise UsageError("--baseline needs --policy: without one the reports show the verdict the audit was given")
        return None
    if output is None:
        raise UsageError("--policy needs --output: reports in the audit's folder show the verdict the audit was given")
    return regate(folder, load_policy(policy), baseline=baseline, allow_other_data=allow_other_data).verdict


def _undecided(name: str) -> Undecided:
    from harness.reports.content.api import Undecided

    try:
        return Undecided(name)
    except ValueError as error:
        raise UsageError(f"--undecided {name}: choose one of {', '.join(Undecided)}") from error


def _level(name: str) -> Level:
    from harness.reports.content.api import Level

    try:
        return Level(name)
    except ValueError as error:
        raise UsageError(f"--level {name}: choose one of {', '.join(Level)}") from error
