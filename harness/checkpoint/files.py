"""Which files make up a model, and reading the small JSON ones without trusting them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.checkpoint.source import CheckpointSource
from harness.errors import CheckpointError

SAFETENSORS, SAFETENSORS_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
MAX_JSON_BYTES = 64 * 2**20
"""Far above any real config or shard index; a tokenizer.json is read by its own library."""


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


def lay_out(path: Path, source: CheckpointSource) -> Layout:
    """The weight files of a folder or .gguf file, safetensors before all. Raises CheckpointError: none, or refused."""
    if path.is_file():
        if path.suffix == ".gguf":
            return Layout(path.parent, Format.GGUF, (path,))
        raise CheckpointError(f"{path}: a checkpoint is a folder or a .gguf file; give the folder this file lies in")
    if (path / SAFETENSORS).is_file():
        return Layout(path, Format.SAFETENSORS, (path / SAFETENSORS,))
    if (path / SAFETENSORS_INDEX).is_file():
        return _sharded(path, SAFETENSORS_INDEX, Format.SAFETENSORS)
    if (path / PICKLE).is_file() or (path / PICKLE_INDEX).is_file():
        return _pickled(path, source)
    return _only_gguf(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises CheckpointError naming the file when it is missing, oversized, or not one."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(f"{path}: {path.stat().st_size:,} bytes, which no such file needs; refused")
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: missing; a checkpoint needs it, so copy the whole folder") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({str(error)[:120]}); download it again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds no JSON object; download it again")
    return value


def _sharded(folder: Path, name: str, format: Format) -> Layout:
    index = read_json(folder / name).get("weight_map")
    if not isinstance(index, dict) or not index or not all(isinstance(file, str) for file in index.values()):
        raise CheckpointError(f"{folder / name}: has no weight_map from tensors to files; download it again")
    names = sorted(set(index.values()))
    for file in names:
        if Path(file).name != file:
            raise CheckpointError(f"{folder / name}: names {file!r}, which lies outside the folder; refused")
        if not (folder / file).is_file():
            raise CheckpointError(f"{folder / file}: missing, though {name} names it; download it again")
    return Layout(folder, format, tuple(folder / file for file in names), index)


def _pickled(folder: Path, source: CheckpointSource) -> Layout:
    if not source.allow_pickle:
        raise CheckpointError(
            f"{folder}: refused, its weights are pickled and loading them can run code; convert them to safetensors, "
            "or allow it with --allow-pickle if you trust their author"
        )
    if (folder / PICKLE).is_file():
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
