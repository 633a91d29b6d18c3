"""TrainingManifest: what a checkpoint was trained on, written by training, read by probes that audit memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.data import DataSource
from harness.errors import CheckpointError

MANIFEST_NAME = "training_manifest.json"


class TrainingManifest(BaseModel):
    """Provenance of a trained checkpoint; lies next to its weights as `training_manifest.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(description="classification, masked_lm or causal_lm")
    base: str = Field(description="source of the checkpoint training started from")
    base_fingerprint: str = Field(description="its fingerprint")
    weights: str = Field(description="sha256 digest of the trained weights this manifest belongs to")
    members: DataSource = Field(description="the records trained on")
    members_digest: str = Field(description="content digest of those records")
    members_n: int = Field(description="how many records")
    non_members: DataSource | None = Field(default=None, description="held-out records of the same distribution")
    non_members_digest: str | None = Field(default=None, description="content digest of the held-out records")
    non_members_n: int = Field(default=0, description="how many held-out records")
    label_names: tuple[str, ...] = Field(default=(), description="class names by index, classification only")
    seed: int = Field(description="seed of shuffling, dropout and initialisation")
    config: dict[str, Any] = Field(description="every training setting")
    steps: int = Field(description="optimizer steps taken")
    losses: tuple[float, ...] = Field(default=(), description="mean training loss of each epoch, nats")
    versions: dict[str, str] = Field(description="package versions")
    privacy: dict[str, Any] | None = Field(default=None, description="the claimed guarantee; None: trained without one")


def read_manifest(folder: Path) -> TrainingManifest | None:
    """The manifest lying in a checkpoint folder, or None. Raises CheckpointError when it cannot be read."""
    path = folder / MANIFEST_NAME
    if not path.is_file():
        return None
    try:
        return TrainingManifest.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(
            f"{path}: not a training manifest ({where}: {first['msg']}); restore it or delete it to audit without one"
        ) from error
