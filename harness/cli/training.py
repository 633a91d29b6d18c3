"""Commands that train, and that publish what was trained: train, publish, budget, frontier, harden."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.arguments import Pickle, Remote, Uri
from harness.cli.tracking import log_training
from harness.console import console, fail, say
from harness.errors import Exit


def train(
    spec: Annotated[Path, typer.Argument(help="YAML file with a training spec.")],
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Do nothing when the same training is done.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite the output folder.")] = False,
    privacy: Annotated[
        str | None,
        typer.Option(
            help="For example epsilon=8,delta=auto; over the spec's own; 'off' trains without.", show_default=False
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what it would spend, take and claim; nothing is written.")
    ] = False,
    tracking_uri: Uri = None,
    allow_pickle: Pickle = False,
    allow_remote_code: Remote = False,
) -> None:
    """Fine-tune a checkpoint, with differential privacy if asked, and write the manifest that later audits read.

    Its `mode` says what is trained: full, head, bitfit, last-layers or lora. `assay validate --schema train` lists all
    keys of a spec.
    """
    from harness.checkpoint import Permissions
    from harness.console import training_progress
    from harness.stores import store_of_environment
    from privacy.training import train as run_training
    from privacy.training.options import load_train_spec

    store_of_environment()  # what is wrong with it should be heard now, not when the model is trained
    settings = load_train_spec(spec, privacy)
    allowed = Permissions(allow_pickle, allow_remote_code)
    if plan:
        from privacy.planning import planned

        say(planned(settings, if_missing=if_missing, replace=replace, permissions=allowed))
        return
    if os.environ.get("RANK", "0") != "0":  # of several processes of a launcher only the first one speaks
        run_training(settings, if_missing=if_missing, replace=replace, permissions=allowed)
        return
    with training_progress() as progress:
        result = run_training(settings, progress=progress, if_missing=if_missing, replace=replace, permissions=allowed)
    say(result.sentence)
    log_training(result, tracking_uri)


def publish(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a checkpoint trained with privacy.")],
    output: Annotated[Path, typer.Option(help="New folder, to be handed on.", show_default=False)],
) -> None:
    """Copy weights, tokenizer, config and privacy claim, and nothing else that depends on the records."""
    from privacy.publication import publish as publish_checkpoint

    say(publish_checkpoint(checkpoint, output).sentence)


def budget(
    folder: Annotated[Path, typer.Argument(help="Folder that holds the checkpoints.")] = Path("checkpoints"),
    spec: Annotated[
        Path | None,
        typer.Option(help="Training spec: only what was spent on its records, compared record by record."),
    ] = None,
    delta: Annotated[float | None, typer.Option(help="Default: of the total, else the smallest claimed.")] = None,
    total: Annotated[
        float | None,
        typer.Option(help="Write assay_budget.yaml: all trainings on the same records keep to this epsilon."),
    ] = None,
) -> None:
    """Add up what all trainings in a folder have spent on the same records; state a total that none may pass."""
    from privacy.budget.command import budget_text

    say(budget_text(folder, spec=spec, delta=delta, total=total))


def frontier(
    spec: Annotated[Path, typer.Argument(help="YAML file with a training spec; its output becomes the grid's folder.")],
    epsilons: Annotated[str, typer.Option(help="Targets, separated by commas; inf: without privacy.")] = "8,3,1,inf",
    modes: Annotated[
        str | None,
        typer.Option(help="What is trained, of head,bitfit,last-layers,lora,full; default: as the spec says."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0,1,2",
    plain: Annotated[
        Path | None,
        typer.Option(help="Training spec of the runs without privacy, where they train best otherwise."),
    ] = None,
) -> None:
    """Train over a grid of epsilons, modes and seeds; what privacy costs, as rows, a table and a plot."""
    from harness.console import audit_progress, training_progress
    from privacy.frontier.grid import make_grid, parse_epsilons, parse_modes, parse_seeds
    from privacy.frontier.run import Watch, run_frontier
    from privacy.frontier.table import terminal
    from privacy.training.options import load_train_spec

    without = load_train_spec(plain) if plain else None
    chosen = parse_modes(modes) if modes is not None else ()
    grid = make_grid(load_train_spec(spec), parse_epsilons(epsilons), parse_seeds(seeds), modes=chosen, plain=without)
    try:
        result = run_frontier(grid, Watch(say, training_progress, audit_progress))
    except KeyboardInterrupt:
        raise _interrupted() from None
    console.print(terminal(result.frontier))
    say("\n".join(map(str, result.files)))


def harden(
    spec: Annotated[Path, typer.Argument(help="YAML file with a hardening spec.")],
    replace: Annotated[bool, typer.Option("--replace", help="Remove another hardening in the output folder.")] = False,
) -> None:
    """Train a classifier on adversarial texts, and say by paired rows what that bought and cost."""
    from harness.console import audit_progress, training_progress
    from harness.hardening import Watch, find_hardening

    try:
        result = find_hardening().harden(spec, Watch(say, training_progress, audit_progress), replace=replace)
    except KeyboardInterrupt:
        raise _interrupted() from None
    console.print(result.terminal)
    say("\n".join(map(str, result.files)))


def _interrupted() -> typer.Exit:
    fail("interrupted; what is finished is kept, go on with the same command")
    return typer.Exit(Exit.INTERRUPTED)
