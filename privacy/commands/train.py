"""What this room brings to the command line: commands that train and publish, training specs, and their outbox."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.api.commands import Command, SpecKind
from harness.cli.arguments import Pickle, Remote, Uri
from harness.cli.console import console, fail, say
from harness.errors import Exit

if TYPE_CHECKING:
    from privacy.training import TrainResult


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
    canaries: Annotated[
        Path | None,
        typer.Option(help="YAML file of made-up records to plant, for an audit of what is remembered."),
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
    from harness.base.stores import store_of_environment
    from harness.checkpoint import Permissions
    from harness.cli.console import training_progress
    from privacy.training import train as run_training
    from privacy.training.settings.options import load_train_spec

    store_of_environment()  # what is wrong with it should be heard now, not when the model is trained
    settings = load_train_spec(spec, privacy, canaries)
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
    _log(result, tracking_uri)


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
    save: Annotated[
        bool, typer.Option("--save", help="Write assay_spent.json: how it was spent, for the dashboard.")
    ] = False,
) -> None:
    """Add up what all trainings in a folder have spent on the same records; state a total that none may pass."""
    from privacy.commands.budget import budget_text

    say(budget_text(folder, spec=spec, delta=delta, total=total, save=save))


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
    from harness.api.progress import Watch
    from harness.cli.console import audit_progress, training_progress
    from privacy.frontier.grid import make_grid, parse_epsilons, parse_modes, parse_seeds
    from privacy.frontier.run import run_frontier
    from privacy.frontier.table import terminal
    from privacy.training.settings.options import load_train_spec

    without = load_train_spec(plain) if plain else None
    chosen = parse_modes(modes) if modes is not None else ()
    grid = make_grid(load_train_spec(spec), parse_epsilons(epsilons), parse_seeds(seeds), modes=chosen, plain=without)
    try:
        result = run_frontier(grid, Watch(say, training_progress, audit_progress))
    except KeyboardInterrupt:
        fail("interrupted; what is finished is kept, go on with the same command")
        raise typer.Exit(Exit.INTERRUPTED) from None
    console.print(terminal(result.frontier))
    say("\n".join(map(str, result.files)))


class TrainingOutbox:
    """Trainings whose MLflow was away."""

    def pending(self, home: Path) -> list[Path]:
        """Checkpoints below `home` whose training waits."""
        from privacy.tracking.log import pending_trainings

        return pending_trainings(home)

    def send(self, folder: Path, uri: str | None) -> None:
        """Log one, and say so. Raises TrackingError."""
        from harness.base.stores import default_uri, shown_uri
        from privacy.tracking.log import log_training, tracking_note

        note = tracking_note(folder)
        target = uri or note.get("uri") or default_uri(Path("audits"))
        run_id = log_training(folder, target, note.get("experiment", "assay"))
        say(f"mlflow     {shown_uri(target)} run {run_id}")


def _log(result: TrainResult, uri: str | None) -> None:
    """Log to MLflow; when the server is away, keep the training for `assay sync`. One of several processes logs."""
    from harness.tracking.session import TrackingError
    from privacy.tracking.log import tracking_note

    if uri == "off":
        return
    if not result.trained and tracking_note(result.folder).get("state") == "logged":
        return
    try:
        outbox.send(result.folder, uri)
    except TrackingError as error:
        fail(f"{error}; the checkpoint is kept, send its training with: assay sync --output {result.folder.parent}")


def _check(file: Path) -> str:
    from privacy.training.settings.options import load_train_spec

    spec = load_train_spec(file)
    return f"training spec of {spec.task} on {spec.data.source.split('#')[0]}"


def _schema() -> dict[str, Any]:
    from privacy.training import TrainSpec

    return TrainSpec.model_json_schema()


train_command = Command(train, "assay train examples/train.yaml --if-missing")
publish_command = Command(publish, "assay publish checkpoints/private --output public/private")
budget_command = Command(budget, "assay budget checkpoints --total 8 --delta 1e-6")
frontier_command = Command(frontier, "assay frontier examples/train.yaml --epsilons 8,3,1,inf --seeds 0,1,2")
spec_kind = SpecKind("a training spec", ("task", "base", "fresh"), _check, _schema)
outbox = TrainingOutbox()
