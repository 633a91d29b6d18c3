"""Commands that say what is installed: probes, version."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from harness import __version__
from harness.cli.console import say, show_probe, show_probes
from harness.errors import UsageError


def probes(
    name: Annotated[str | None, typer.Argument(help="A probe or suite to describe.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the columns of its rows as JSON instead.")] = False,
) -> None:
    """List the probes, or describe one: what it needs, reads, measures and writes, and what it cannot tell."""
    from harness.api.columns import rows_schema
    from harness.api.registry import find_probes, pick

    found = find_probes()
    if schema:
        if name is None:
            raise UsageError("--schema: name the probe or suite whose rows are meant")
        schemas = {probe.name: rows_schema(probe.Row) for probe in pick(found, name)}
        sys.stdout.write(json.dumps(schemas, indent=2) + "\n")
        return
    if name is None:
        show_probes(found)
        return
    for probe in pick(found, name):
        show_probe(probe)


def version() -> None:
    """Print Assay's version and those of the packages that can change a number."""
    from harness.record.environment import package_versions

    say("\n".join(f"{name} {number}" for name, number in {"assay": __version__, **package_versions()}.items()))
