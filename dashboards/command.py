"""`assay dashboard`."""

from __future__ import annotations

from pathlib import Path

import typer

from harness.api.commands import Command
from harness.cli.arguments import Home, Uri


def dashboard(output: Home = Path("audits"), tracking_uri: Uri = None, port: int = 8501) -> None:
    """Open the dashboard over a folder of audits."""
    from dashboards.launch import launch
    from harness.base.stores import store_of_environment

    raise typer.Exit(launch(output, tracking_uri or store_of_environment(), port))


dashboard_command = Command(dashboard, "assay dashboard --output audits")
