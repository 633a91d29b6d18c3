"""Which files a checkpoint's fingerprint covers: those that are staged for the loader, and no others."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping
from typing import Any

_WORDS = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "emoji.json", "vocab.txt", "merges.txt", "bpe.codes", "*.model", "*.jinja",
)  # fmt: skip
"""harness.checkpoint.tokenizer_files and harness.checkpoint.stage copy these; tests hold the two together."""
_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")


def covered(paths: Collection[str], indexes: Mapping[str, Any]) -> frozenset[str]:
    """Of files by their paths those that are fingerprinted when the checkpoint is audited without permissions.

    Args:
        paths: all files.
        indexes: weight_map of each shard index, by its path.
    """
    top = {path for path in paths if "/" not in path}
    if len(top) == 1 and next(iter(top)).endswith(".gguf"):
        return frozenset(top)
    words = {path for path in top if any(fnmatch.fnmatchcase(path, pattern) for pattern in _WORDS)}
    if "adapter_config.json" in top and _SINGLE not in top:
        words |= {name for name in _ADAPTER if name in top}
    if _SINGLE in top:
        return frozenset(words | {_SINGLE})
    if _INDEX in top:
        index = indexes.get(_INDEX)
        shards = {name for name in index.values() if isinstance(name, str)} if isinstance(index, dict) else set[str]()
        return frozenset(words | {_INDEX} | (shards & top))
    ggufs = {path for path in top if path.endswith(".gguf")}
    if len(ggufs) == 1 and "adapter_config.json" not in top:
        return frozenset(ggufs)
    return frozenset(words)
