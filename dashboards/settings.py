"""What the dashboard shows and who may do what with it, told by its launcher through the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

OUTPUT = "ASSAY_OUTPUT"
TRACKING_URI = "ASSAY_TRACKING_URI"
ACCESS_KEY = "key"
"""Query parameter with the key of a server that was started with --allow-start."""
KEY = "ASSAY_DASHBOARD_KEY"
ROLES = "ASSAY_DASHBOARD_ROLES"
PERMISSIONS = "ASSAY_DASHBOARD_PERMISSIONS"
FOLDER = "ASSAY_DASHBOARD_FOLDER"
OWN = (OUTPUT, TRACKING_URI, KEY, ROLES, PERMISSIONS, FOLDER)
"""Variables that are for the server alone: no audit that it starts has them."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may start and stop audits."""

    key: str = ""
    """Whoever has it is an auditor; empty: nobody is, unless `roles` says so."""
    roles: Path | None = None
    """File of roles of those who sign in; None: nobody has to sign in."""
    permissions: tuple[str, ...] = ()
    """Options of `assay run` by which a checkpoint may do more, e.g. --allow-pickle; no audit gets any other."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The folder of audits, and the MLflow store to read besides (None: only the folder)."""

    output: Path
    tracking_uri: str | None
    access: Access = field(default_factory=Access)
    folder: Path = Path()
    """Working folder of the audits it starts: what relative paths of a spec are relative to."""


def read_settings() -> Settings:
    """Settings from the environment; the folder is `audits` unless told."""
    said = os.environ.get
    access = Access(
        key=said(KEY, ""),
        roles=Path(said(ROLES, "")) if said(ROLES) else None,
        permissions=tuple(said(PERMISSIONS, "").split()),
    )
    return Settings(Path(said(OUTPUT) or "audits"), said(TRACKING_URI) or None, access, Path(said(FOLDER) or "."))
