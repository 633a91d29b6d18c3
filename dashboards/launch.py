"""Starts the dashboard's web server."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from dashboards.door import allowed_hosts
from dashboards.settings import OUTPUT, TRACKING_URI
from harness.base.stores import absolute_uri
from harness.base.surroundings import python_environment
from harness.data.pypi import cache_home
from harness.tracking.session import SETTINGS

APP = Path(__file__).absolute().parent / "app.py"
ADDRESS = "127.0.0.1"
"""Only this machine can reach the server: rows may hold private text."""


def launch(output: Path, tracking_uri: str | None, port: int) -> int:
    """Serve the dashboard over `output` until interrupted; returns the server's exit status.

    The server's working folder is an empty one: Streamlit would take settings and secrets from the user's, which may
    be a checkpoint's.
    """
    with tempfile.TemporaryDirectory(prefix="assay-dashboard-") as empty:
        variables = {**python_environment(), **environment(output, tracking_uri)}
        server = subprocess.Popen(command(port), env=variables, cwd=empty)
        before = signal.signal(signal.SIGTERM, lambda *_: server.terminate())  # or it would outlive its launcher
        try:
            return server.wait()
        except KeyboardInterrupt:  # Ctrl-C is how a dashboard is closed; the server got it as well
            server.wait()
            return 0
        finally:
            signal.signal(signal.SIGTERM, before)


def command(port: int) -> list[str]:
    """The command line of the server. What matters is said here, where no file of settings can say otherwise."""
    options = {
        "server.port": str(port),
        "server.address": ADDRESS,
        "server.headless": "true",
        "server.enableCORS": "true",  # protects from other origins, whatever it is called
        "server.enableXsrfProtection": "true",
        "server.corsAllowedOrigins": f"http://localhost:{port}",
        "server.fileWatcherType": "none",
        "server.runOnSave": "false",
        "server.enableStaticServing": "false",
        "server.enableAgentApi": "false",
        "server.scriptHealthCheckEnabled": "false",
        "server.maxUploadSize": "1",  # there is nothing to upload
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
        "client.disableDataExport": "true",
        "global.developmentMode": "false",  # in which every origin is welcome
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    hosts = [part for name in allowed_hosts() for part in ("--server.allowedHosts", name)]
    return [sys.executable, "-P", "-m", "dashboards.serve", "run", str(APP), *flags, *hosts]


def environment(output: Path, tracking_uri: str | None) -> dict[str, str]:
    """Variables that tell the server what to show; no path in them depends on the working folder."""
    return {
        **SETTINGS,
        OUTPUT: str(output.absolute()),
        TRACKING_URI: absolute_uri(tracking_uri) if tracking_uri else "",
        "ASSAY_CACHE": str(cache_home().absolute()),
    }
