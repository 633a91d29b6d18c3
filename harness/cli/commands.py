"""All commands in the order that `assay --help` lists them, each with an example."""

from __future__ import annotations

from collections.abc import Callable

import typer

from harness.cli.audit import plan, resume, run
from harness.cli.catalogue import probes, version
from harness.cli.gates import gate, release
from harness.cli.resources import resources
from harness.cli.results import dashboard, report, show
from harness.cli.scan import scan
from harness.cli.tracking import sync
from harness.cli.training import budget, frontier, harden, publish, train
from harness.cli.validate import validate

_COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (run, "assay run --checkpoint ./my-model --suite adversarial,bias --policy policy.yaml"),
    (plan, "assay plan audit.yaml"),
    (scan, "assay scan ./my-model --format sarif --output scan.sarif"),
    (resume, "assay resume latest"),
    (show, "assay show latest"),
    (report, "assay report latest --format junit,sarif,comment --output out"),
    (gate, "assay gate latest --policy policy.yaml --baseline @production"),
    (release, "assay release latest --name sentiment --alias production --policy policy.yaml"),
    (probes, "assay probes bias/crows_pairs"),
    (validate, "assay validate audit.yaml"),
    (train, "assay train examples/train.yaml --if-missing"),
    (publish, "assay publish checkpoints/private --output public/private"),
    (budget, "assay budget checkpoints --total 8 --delta 1e-6"),
    (frontier, "assay frontier examples/train.yaml --epsilons 8,3,1,inf --seeds 0,1,2"),
    (harden, "assay harden harden.yaml"),
    (sync, "assay sync --tracking-uri http://mlflow.example:5000"),
    (dashboard, "assay dashboard --output audits"),
    (version, "assay version"),
)

app = typer.Typer(
    name="assay",
    help="Audit a BERT or GPT checkpoint: attacks, bias, memorization, quality; one verdict that can be defended.",
    epilog="Exit codes: 0 pass, 1 blocked, 2 usage or config, 3 inconclusive, 4 the audit failed, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for _command, _example in _COMMANDS:
    app.command(epilog=f"Example: `{_example}`")(_command)
app.add_typer(resources, name="resources", invoke_without_command=True, epilog="Example: `assay resources`")
