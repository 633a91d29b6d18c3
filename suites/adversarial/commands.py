"""`assay harden`, and hardening specs for `assay validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.api.commands import Command, SpecKind
from harness.api.progress import Watch
from harness.cli.console import audit_progress, console, fail, say, training_progress
from harness.errors import Exit, UsageError

if TYPE_CHECKING:
    from suites.adversarial.harden.spec import HardenSpec


def harden(
    spec: Annotated[Path, typer.Argument(help="YAML file with a hardening spec.")],
    replace: Annotated[bool, typer.Option("--replace", help="Remove another hardening in the output folder.")] = False,
) -> None:
    """Train a classifier on adversarial texts, and say by paired rows what that bought and cost."""
    from suites.adversarial.harden.run import run_hardening

    try:
        result = run_hardening(_loaded(spec), Watch(say, training_progress, audit_progress), replace=replace)
    except KeyboardInterrupt:
        fail("interrupted; what is finished is kept, go on with the same command")
        raise typer.Exit(Exit.INTERRUPTED) from None
    console.print(result.terminal)
    say("\n".join(map(str, result.files)))


def _check(spec: Path) -> str:
    """Method, recipe and data of the spec file."""
    loaded = _loaded(spec)
    return f"hardening spec of {loaded.method} with {loaded.recipe} on {loaded.train.data.source.split('#')[0]}"


def _schema() -> dict[str, Any]:
    from suites.adversarial.harden.spec import HardenSpec

    return HardenSpec.model_json_schema()


def _loaded(path: Path) -> HardenSpec:
    """The spec in a file, its audit read too: what is wrong there must not show only after the first training."""
    from suites.adversarial.harden.audits import audit_spec
    from suites.adversarial.harden.spec import load_harden_spec

    spec = load_harden_spec(path)
    try:
        audit_spec(spec, spec.output, spec.output)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return spec


harden_command = Command(harden, "assay harden harden.yaml")
spec_kind = SpecKind("a hardening spec", ("train", "method", "recipe"), _check, _schema)
