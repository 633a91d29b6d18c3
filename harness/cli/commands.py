"""All commands, each with an example: those of the harness, then those that others bring, found by entry point."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup

from harness.api.commands import COMMANDS, Command
from harness.base.plugins import being, installed
from harness.cli.audit import plan, resume, run
from harness.cli.catalogue import probes, version
from harness.cli.gates import gate, release
from harness.cli.measure import measure
from harness.cli.resources import resources
from harness.cli.results import report, show
from harness.cli.scan import scan
from harness.cli.tracking import sync
from harness.cli.validate import validate
from harness.errors import UsageError

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
    (measure, "assay measure bias/bbq --rows predictions.jsonl"),
    (validate, "assay validate audit.yaml"),
    (sync, "assay sync --tracking-uri http://mlflow.example:5000"),
    (version, "assay version"),
)


class _Group(TyperGroup):
    """Looks for a command that is not the harness's own among the entry points, and loads it only when it is wanted."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *sorted(_points().keys() - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in _points():
            return own
        found = installed(COMMANDS, being(Command), [_points()[cmd_name]])
        return _built(cmd_name, found.plugins.get(cmd_name) or _broken(cmd_name, found.broken))


@cache
def _points() -> dict[str, EntryPoint]:
    """Read once: it opens a file of every package. Of two of one name Assay's own counts, then the first by value."""
    found = sorted(entry_points(group=COMMANDS), key=lambda point: (not _own(point), point.value))
    return {point.name: point for point in reversed(found)}


def _own(point: EntryPoint) -> bool:
    return point.dist is not None and point.dist.name == "assay"


def _built(name: str, command: Command) -> Any:
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
    alone.command(name, epilog=f"Example: `{command.example}`" if command.example else None)(command.call)
    return typer.main.get_command(alone)


def _broken(name: str, why: str) -> Command:
    """Stands for a command that cannot be loaded, so that it is listed, and says why when it is called."""

    def call() -> None:
        raise UsageError(f"the command {name!r} could not be loaded{why}; repair or remove the package that brings it")

    call.__doc__ = "Could not be loaded."
    return Command(call, "")


app = typer.Typer(
    name="assay",
    cls=_Group,
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
