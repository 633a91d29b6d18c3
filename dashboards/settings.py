"""What the dashboard shows, told by its launcher through the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

OUTPUT = "ASSAY_OUTPUT"
TRACKING_URI = "ASSAY_TRACKING_URI"


@dataclass(frozen=True, slots=True)
class Settings:
    """The folder of audits, and the MLflow store to read besides (None: only the folder)."""

    output: Path
    tracking_uri: str | None


def read_settings() -> Settings:
    """Settings from the environment; the folder is `audits` unless told."""
    return Settings(Path(os.environ.get(OUTPUT) or "audits"), os.environ.get(TRACKING_URI) or None)
