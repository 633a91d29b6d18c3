"""`assay dashboard`."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from harness.api.commands import Command
from harness.cli.arguments import Home, Pickle, Remote, TaskCode, Trust, Uri
from harness.cli.console import say

Start = Annotated[
    bool, typer.Option("--allow-start", help="Let whoever has the key that is printed start, stop and resume audits.")
]
SignIn = Annotated[
    Path | None,
    typer.Option(help="secrets.toml whose [auth] names an OpenID Connect provider; needs --roles.", show_default=False),
]
RolesFile = Annotated[
    Path | None, typer.Option("--roles", help="YAML file: who that signs in is viewer or auditor.", show_default=False)
]


def dashboard(
    output: Home = Path("audits"),
    tracking_uri: Uri = None,
    port: int = 8501,
    allow_start: Start = False,
    sign_in: SignIn = None,
    roles: RolesFile = None,
    allow_pickle: Pickle = False,
    allow_remote_code: Remote = False,
    trust_manifest: Trust = False,
    allow_task_code: TaskCode = False,
) -> None:
    """Open the dashboard over a folder of audits.

    Everybody who reaches it may look; nobody may start or stop audits unless --allow-start or --roles says so. The last
    four options are what an audit started from its pages may be allowed.
    """
    from dashboards.server.launch import check_access, entrance, launch
    from dashboards.settings import Access
    from harness.base.stores import store_of_environment

    flags = {
        "--allow-pickle": allow_pickle,
        "--allow-remote-code": allow_remote_code,
        "--trust-manifest": trust_manifest,
        "--allow-task-code": allow_task_code,
    }
    access = Access(
        key=secrets.token_urlsafe(32) if allow_start else "",
        roles=roles,
        permissions=tuple(flag for flag, given in flags.items() if given),
    )
    check_access(access, sign_in)
    if access.key:
        say(f"to start and stop audits, open {entrance(port, access)}")
    raise typer.Exit(launch(output, tracking_uri or store_of_environment(), port, access, sign_in))


dashboard_command = Command(dashboard, "assay dashboard --output audits")
