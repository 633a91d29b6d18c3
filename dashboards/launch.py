"""Starts the dashboard's web server."""

from __future__ import annotations

import os
import signal
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
    server = subprocess.Popen(command(port, address), env={**os.environ, **environment(output, tracking_uri)})
    before = signal.signal(signal.SIGTERM, lambda *_: server.terminate())  # or the server would outlive its launcher
    try:
        return server.wait()
    except KeyboardInterrupt:  # Ctrl-C is how a dashboard is closed; the server got it as well
        server.wait()
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)


def command(port: int, address: str) -> list[str]:
    """The command line of the server; -P keeps modules lying in the working folder from being imported."""
    options = {
        "server.port": str(port),
        "server.address": address,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-P", "-m", "streamlit", "run", str(APP), *flags]


def environment(output: Path, tracking_uri: str | None) -> dict[str, str]:
    """Variables that tell the server what to show."""
    return {**SETTINGS, OUTPUT: str(output.absolute()), TRACKING_URI: tracking_uri or ""}
