"""Commands that say what is installed: probes, version."""

from __future__ import annotations

from typing import Annotated

import typer

from harness import __version__
from harness.cli.console import say, show_probe, show_probes


def probes(name: Annotated[str | None, typer.Argument(help="A probe or suite to describe.")] = None) -> None:
    """List the probes, or describe one: what it measures, needs, reads, and cannot tell."""
    from harness.api.registry import find_probes, pick

    found = find_probes()
    if name is None:
        show_probes(found)
        return
    for probe in pick(found, name):
        show_probe(probe)


def version() -> None:
    """Print Assay's version and those of the packages that can change a number."""
    from harness.record.environment import package_versions

    say("\n".join(f"{name} {number}" for name, number in {"assay": __version__, **package_versions()}.items()))
