"""Starts the dashboard's web server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dashboards.settings import OUTPUT, TRACKING_URI
from harness.mlflow_session import SETTINGS

APP = Path(__file__).parent / "app.py"


def launch(output: Path, tracking_uri: str | None, port: int, *, address: str = "127.0.0.1") -> int:
    """Serve the dashboard over `output` until interrupted; returns the server's exit status.

    Only this machine can reach it unless `address` says otherwise: rows may hold private text.
    """
    try:
        return subprocess.run(
            command(port, address), env={**os.environ, **environment(output, tracking_uri)}, check=False
        ).returncode
    except KeyboardInterrupt:  # Ctrl-C is how a dashboard is closed
        return 0


def command(port: int, address: str) -> list[str]:
    """The command line of the server."""
    options = {
        "server.port": str(port),
        "server.address": address,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(APP), *flags]


def environment(output: Path, tracking_uri: str | None) -> dict[str, str]:
    """Variables that tell the server what to show."""
    return {**SETTINGS, OUTPUT: str(output.absolute()), TRACKING_URI: tracking_uri or ""}
