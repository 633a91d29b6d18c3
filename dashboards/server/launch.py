"""Starts the dashboard's web server."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from dashboards.access.roles import load_roles
from dashboards.server.door import LOCAL, allowed_hosts
from dashboards.settings import ACCESS_KEY, FOLDER, KEY, OUTPUT, PERMISSIONS, ROLES, TRACKING_URI, Access
from harness.base.regular import read_bounded
from harness.base.stores import absolute_uri
from harness.base.surroundings import python_environment
from harness.data.pypi import cache_home
from harness.errors import UsageError
from harness.tracking.session import SETTINGS

APP = Path(__file__).absolute().parents[1] / "app.py"
ADDRESS = "127.0.0.1"
"""Only this machine can reach the server: rows may hold private text."""
_AUTH = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
"""What Streamlit's sign-in needs; the last three may stand in sections of several providers instead."""
_SHORTEST_SECRET = 32
"""Characters of what signs the cookie that says who somebody is: 128 bits written in hexadecimal digits."""


def launch(
    output: Path, tracking_uri: str | None, port: int, access: Access | None = None, sign_in: Path | None = None
) -> int:
    """Serve the dashboard over `output` until interrupted; returns the server's exit status.

    The server's working folder is an empty one: Streamlit would take settings and secrets from the user's, which may
    be a checkpoint's. `sign_in` is the file of secrets that names the identity provider. Raises UsageError.
    """
    access = access or Access()
    check_access(access, sign_in)
    with tempfile.TemporaryDirectory(prefix="assay-dashboard-") as empty:
        variables = {**python_environment(), **environment(output, tracking_uri, access)}
        server = subprocess.Popen(command(port, sign_in), env=variables, cwd=empty)
        before = signal.signal(signal.SIGTERM, lambda *_: server.terminate())  # or it would outlive its launcher
        try:
            return server.wait()
        except KeyboardInterrupt:  # Ctrl-C is how a dashboard is closed; the server got it as well
            server.wait()
            return 0
        finally:
            signal.signal(signal.SIGTERM, before)


def check_access(access: Access, sign_in: Path | None) -> None:
    """Raises UsageError for what would let in somebody who is not meant, before anything listens."""
    if (sign_in is None) != (access.roles is None):
        lacking = "--roles" if access.roles is None else "--sign-in"
        raise UsageError(f"--sign-in and --roles belong together: {lacking} is missing")
    if sign_in is not None and access.key:
        raise UsageError("--allow-start is for one machine without sign-in; with --sign-in the roles say who may start")
    if access.key and allowed_hosts() != LOCAL:
        raise UsageError(
            "--allow-start: the dashboard answers to names of other machines (ASSAY_DASHBOARD_HOSTS), so who starts "
            "audits must sign in; give --sign-in and --roles instead"
        )
    if access.permissions and not access.key and sign_in is None:
        raise UsageError(f"{access.permissions[0]}: nobody may start an audit here; give --allow-start or --sign-in")
    if access.roles is not None and sign_in is not None:
        load_roles(access.roles)
        _check_sign_in(sign_in)


def _check_sign_in(path: Path) -> None:
    try:
        secrets = tomllib.loads(read_bounded(path, 2**20).decode())
    except ValueError as error:
        raise UsageError(f"{path}: no TOML ({str(error).splitlines()[0]})") from error
    auth = secrets.get("auth")
    if not isinstance(auth, dict):
        raise UsageError(
            f"{path}: has no [auth]; see https://docs.streamlit.io/develop/concepts/connections/authentication"
        )
    several = any(isinstance(each, dict) for each in auth.values())
    if missing := [name for name in (_AUTH[:2] if several else _AUTH) if not auth.get(name)]:
        raise UsageError(f"{path}: [auth] lacks {missing[0]}")
    if len(str(auth["cookie_secret"])) < _SHORTEST_SECRET:
        raise UsageError(
            f"{path}: cookie_secret has fewer than {_SHORTEST_SECRET} characters; try: openssl rand -hex 32"
        )
    if importlib.util.find_spec("authlib") is None:
        raise UsageError("--sign-in needs the package authlib; install it with: pip install 'assay[dashboard-oidc]'")


def entrance(port: int, access: Access) -> str:
    """Address under which the dashboard opens, with the key that lets start audits where there is one."""
    return f"http://localhost:{port}/" + (f"?{ACCESS_KEY}={access.key}" if access.key else "")


def command(port: int, sign_in: Path | None = None) -> list[str]:
    """The command line of the server. What matters is said here, where no file of settings can say otherwise."""
    options = {
        "server.port": str(port),
        "server.address": ADDRESS,
        "server.headless": "true",
        "server.enableCORS": "true",  # protects from other origins, whatever it is called
        "server.enableXsrfProtection": "true",
        "server.trustedUserHeaders": "{}",  # or a header could say who somebody is
        "server.corsAllowedOrigins": f"http://localhost:{port}",
        "secrets.files": str(sign_in.absolute()) if sign_in else "no-secrets.toml",
        "server.fileWatcherType": "none",
        "server.runOnSave": "false",
        "server.enableStaticServing": "false",
        "server.enableAgentApi": "false",
        "server.scriptHealthCheckEnabled": "false",
        "server.maxUploadSize": "1",  # there is nothing to upload
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
        "client.disableDataExport": "true",
        "runner.magicEnabled": "false",  # which would show the value of any expression that stands alone
        "global.developmentMode": "false",  # in which every origin is welcome
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    hosts = [part for name in allowed_hosts() for part in ("--server.allowedHosts", name)]
    return [sys.executable, "-P", "-m", "dashboards.server.serve", "run", str(APP), *flags, *hosts]


def environment(output: Path, tracking_uri: str | None, access: Access | None = None) -> dict[str, str]:
    """Variables that tell the server what to show; no path in them depends on the working folder."""
    access = access or Access()
    return {
        **SETTINGS,
        OUTPUT: str(output.absolute()),
        TRACKING_URI: absolute_uri(tracking_uri) if tracking_uri else "",
        "ASSAY_CACHE": str(cache_home().absolute()),
        KEY: access.key,
        ROLES: str(access.roles.absolute()) if access.roles else "",
        PERMISSIONS: " ".join(access.permissions),
        FOLDER: str(Path.cwd()),
    }
