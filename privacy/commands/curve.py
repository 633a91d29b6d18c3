"""`assay curve`: quality against the number of training records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.api.commands import Command
from harness.errors import Exit


def curve(
    spec: Annotated[
        Path, typer.Argument(help="YAML file with a training spec; its output becomes the curve's folder.")
    ],
    sizes: Annotated[
        str | None,
        typer.Option(help="Numbers of records, separated by commas; default: all, half of them, four times halved."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of draw and training, separated by commas.")] = "0,1,2",
) -> None:
    """Train on more and more of the records; how good the model gets, as rows, a table and a plot."""
    from harness.api.progress import Watch
    from harness.cli.console import audit_progress, console, fail, say, training_progress
    from privacy.curve.cells import make_curve
    from privacy.curve.report import terminal
    from privacy.curve.run import run_curve
    from privacy.frontier.grid import parse_numbers, parse_seeds
    from privacy.training.settings.options import load_train_spec

    wanted = [] if sizes is None else parse_numbers(sizes, "--sizes")
    made = make_curve(load_train_spec(spec), wanted, parse_seeds(seeds))
    try:
        result = run_curve(made, Watch(say, training_progress, audit_progress))
    except KeyboardInterrupt:
        fail("interrupted; what is finished is kept, go on with the same command")
        raise typer.Exit(Exit.INTERRUPTED) from None
    console.print(terminal(result.curve))
    say("\n".join(map(str, result.files)))


curve_command = Command(curve, "assay curve examples/first_audit/train.yaml --sizes 100,300,1000")
