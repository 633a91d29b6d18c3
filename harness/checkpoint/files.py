"""Which files make up a model, and reading the small JSON ones without trusting them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.api.permissions import Permissions
from harness.base.confined import is_there, parse_object, read_bytes
from harness.errors import CheckpointError

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
SAFETENSORS, SAFETENSORS_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
MAX_JSON_BYTES = 16 * 2**20
"""Far above any real config (21,000 labels are 1 MB) or shard index (100,000 tensors are 8 MB)."""
_FILE_NAME = re.compile(r"[\w-][\w.-]{0,199}", re.ASCII)


class Format(StrEnum):
    """How weights are stored."""

    SAFETENSORS = "safetensors"
    PICKLE = "pickle"
    GGUF = "gguf"


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one full model."""

    folder: Path
    format: Format
    files: tuple[Path, ...]
    index: dict[str, str] | None = None
    """Tensor name -> file name, where the weights are sharded."""
    index_file: str | None = None


def lay_out(path: Path, permissions: Permissions) -> Layout:
    """The weight files of a folder or .gguf file, safetensors before all. Raises CheckpointError: none, or refused."""
    if path.is_file():
        if path.suffix == ".gguf":
            return Layout(path.parent, Format.GGUF, (path,))
        raise CheckpointError(f"{path}: a checkpoint is a folder or a .gguf file; give the folder this file lies in")
    if is_there(path / SAFETENSORS):
        return Layout(path, Format.SAFETENSORS, (path / SAFETENSORS,))
    if is_there(path / SAFETENSORS_INDEX):
        return _sharded(path, SAFETENSORS_INDEX, Format.SAFETENSORS)
    if is_there(path / PICKLE) or is_there(path / PICKLE_INDEX):
        return _pickled(path, permissions)
    return _only_gguf(path)


def read_json(path: Path, within: tuple[Path, ...] = (), most: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """A JSON object of at most `most` bytes; a link must end in one of `within`.

    Raises CheckpointError naming the file when it is missing, oversized, no regular file, or not one.
    """
    return parse_object(read_bytes(path, most, within), path)


def allowed_in(folder: Path) -> tuple[Path, ...]:
    """Where links of a checkpoint's folder may end: in it, or among the blobs of the hub's own cache layout."""
    home = folder.resolve()
    if home.parent.name == "snapshots" and home.parent.parent.name.startswith("models--"):
        return home, home.parent.parent / "blobs"
    return (home,)


def _sharded(folder: Path, name: str, format: Format) -> Layout:
    index = read_json(folder / name, allowed_in(folder)).get("weight_map")
    if not isinstance(index, dict) or not index or not all(isinstance(file, str) for file in index.values()):
        raise CheckpointError(f"{folder / name}: has no weight_map from tensors to files; download it again")
    names = sorted(set(index.values()))
    for file in names:
        if _FILE_NAME.fullmatch(file) is None:
            raise CheckpointError(f"{folder / name}: names {file[:200]!r}, which lies outside the folder; refused")
        if not is_there(folder / file):
            raise CheckpointError(f"{folder / file}: missing, though {name} names it; download it again")
    return Layout(folder, format, tuple(folder / file for file in names), index, name)


def _pickled(folder: Path, permissions: Permissions) -> Layout:
    if not permissions.pickle:
        raise CheckpointError(
            f"{folder}: refused, its weights are pickled and loading them can run code; convert them to safetensors, "
            "or allow it with --allow-pickle if you trust their author"
        )
    if is_there(folder / PICKLE):
        return Layout(folder, Format.PICKLE, (folder / PICKLE,))
    return _sharded(folder, PICKLE_INDEX, Format.PICKLE)


def _only_gguf(folder: Path) -> Layout:
    found = sorted(folder.glob("*.gguf"))
    if len(found) == 1:
        return Layout(folder, Format.GGUF, (found[0],))
    if found:
        names = ", ".join(file.name for file in found[:4])
        raise CheckpointError(f"{folder}: holds {len(found)} GGUF files ({names}); name the one to audit")
    raise CheckpointError(
        f"{folder}: holds no weights ({SAFETENSORS}, its shards, or one .gguf file); pickled ones need --allow-pickle"
    )
