"""Shadows on disk: a small file each, beside the checkpoint and never inside it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from harness.api.scorer import Bools, Floats
from harness.base.files import write_atomic
from harness.base.frozen import Frozen
from harness.errors import NoDataError, UsageError


class Settings(Frozen):
    """What makes the shadows of one folder alike."""

    version: int = 1
    weights: str
    """Digest of the checkpoint's own."""
    pool: str
    """Keyed digest of the records."""
    limit: int | None
    mode: str
    """What of a shadow was trained: as the checkpoint, lora, or head."""
    seed: int
    training: str
    """Digest of the training's settings, but for data, output and seed."""


@dataclass(frozen=True, slots=True)
class Shadows:
    """Signals of every record under every shadow, [shadows, records], and which shadow saw which."""

    settings: Settings
    signals: Floats
    inside: Bools

    @property
    def digest(self) -> str:
        """sha256 of all that an attack reads of them."""
        digest = hashlib.sha256(self.settings.model_dump_json().encode())
        for array in (self.signals, self.inside):
            digest.update(repr((array.shape, str(array.dtype))).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def shadow_folder(checkpoint: Path) -> Path:
    """Beside the checkpoint's own folder."""
    return checkpoint.with_name(f"{checkpoint.name}.shadows")


def shadow_path(folder: Path, number: int) -> Path:
    """The file of one."""
    return folder / f"shadow-{number:04d}.safetensors"


def write_shadow(path: Path, settings: Settings, number: int, signals: Floats, inside: Bools) -> None:
    """Whole or not at all; for its owner's eyes only: it says who was in, and how they are told apart."""
    about = {"settings": settings.model_dump_json(), "number": str(number)}
    arrays = {"signals": np.asarray(signals, dtype=np.float64), "inside": np.asarray(inside, dtype=np.uint8)}
    write_atomic(path, lambda file: save_file(arrays, file, metadata=about), private=True)


def read_shadow(path: Path) -> tuple[Settings, Floats, Bools]:
    """Raises UsageError for a file that is damaged or none."""
    try:
        with safe_open(path, framework="numpy") as file:
            settings = Settings(**json.loads(file.metadata()["settings"]))
            return settings, file.get_tensor("signals"), file.get_tensor("inside").astype(np.bool_)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: no shadow, or a damaged one; delete it, and assay shadows makes it again") from error


def read_shadows(checkpoint: Path, wanted: dict[str, Any]) -> Shadows:
    """All of a checkpoint. Raises NoDataError where there are none, UsageError where they are of something else.

    `wanted`: what the settings must have, by name.
    """
    folder = shadow_folder(checkpoint)
    paths = sorted(folder.glob("shadow-*.safetensors")) if folder.is_dir() else []
    if not paths:
        raise NoDataError(f"{checkpoint}: has no shadow models; train some with: assay shadows {checkpoint}")
    read = [read_shadow(path) for path in paths]
    first = read[0][0]
    for path, (settings, *_) in zip(paths, read, strict=True):
        if settings != first:
            raise UsageError(f"{path}: was made otherwise than {paths[0].name}; keep shadows of one kind in {folder}")
    for name, value in wanted.items():
        if getattr(first, name) != value:
            raise UsageError(f"{folder}: its shadows are of other {_OF[name]}; delete them and run assay shadows again")
    return Shadows(first, np.stack([signals for _, signals, _ in read]), np.stack([inside for *_, inside in read]))


_OF = {"weights": "weights", "pool": "records", "limit": "records"}
