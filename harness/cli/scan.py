"""`assay scan`: what a checkpoint holds, told without loading it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.base.outcome import decided, verdict_due
from harness.errors import UsageError


def scan(
    checkpoint: Annotated[str, typer.Argument(help="Folder, file, wheel, pypi: source or hub name.")],
    revision: Annotated[str | None, typer.Option(help="Commit or tag of a hub checkpoint.", show_default=False)] = None,
    format: Annotated[str, typer.Option(help="terminal, json or sarif.")] = "terminal",
    output: Annotated[
        Path | None, typer.Option(help="File to write to, instead of standard output.", show_default=False)
    ] = None,
    weights: Annotated[
        bool | None,
        typer.Option(
            "--weights/--no-weights",
            help="Read every number of the weights (default: unless they would have to be downloaded).",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time after which the rest counts as not scanned.", min=1)] = 300,
) -> None:
    """Report what a checkpoint holds, loading nothing. Exit: 0 clean, 1 found, 3 not everything could be scanned."""
    from harness.base.files import write_text
    from harness.cli.console import console, say
    from harness.scan import scan_checkpoint
    from harness.scan.render.formats import FORMATS

    if format not in FORMATS:
        raise UsageError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    verdict_due()
    report = scan_checkpoint(checkpoint, revision=revision, weights=weights, seconds=seconds)
    text = FORMATS[format](report)
    if output is not None:
        write_text(output, text)
        say(report.headline)
        say(f"report     {output}")
    elif format == "terminal":
        console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
    else:  # whole, whatever its length; ASCII, so that nothing in it steers a terminal
        sys.stdout.write(text)
    raise typer.Exit(decided(report.exit_code))
