"""What reading the files one by one leaves for questions about the checkpoint as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.scan.weights.headers import Span


@dataclass
class Gathered:
    """Filled by `Examiner`."""

    paths: frozenset[str] = frozenset()
    settings: dict[str, Any] = field(default_factory=dict)
    """config.json and its kin: parsed, by path."""
    indexes: dict[str, Any] = field(default_factory=dict)
    """weight_map of each shard index."""
    vocabularies: dict[str, int] = field(default_factory=dict)
    spans: dict[str, list[Span]] = field(default_factory=dict)
    """Tensors by weight file, of sound headers."""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Whole numbers in the metadata of GGUF files."""
    unsound: set[str] = field(default_factory=set)
    git: dict[str, str] = field(default_factory=dict)
    """Texts of files called `config` or `.git`."""
    storages: dict[str, dict[str, str]] = field(default_factory=dict)
    """Torch archive -> key of a storage -> its class."""
    pickled: list[str] = field(default_factory=list)
    """Files that hold pickled weights."""
