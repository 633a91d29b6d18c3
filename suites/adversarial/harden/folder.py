"""The folder of a hardening: where its parts lie, and what its settings are, so that no other gets mixed into it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.base.files import make_folder, write_text
from harness.errors import UsageError

SETTINGS = "hardening_settings.json"


@dataclass(frozen=True, slots=True)
class HardeningFolder:
    """Paths; `before`, `after` and `control` are checkpoints."""

    path: Path

    @property
    def before(self) -> Path:
        """The training as its spec says, without hardening."""
        return self.path / "before"

    @property
    def after(self) -> Path:
        """The hardened checkpoint."""
        return self.path / "after"

    @property
    def control(self) -> Path:
        """Trained as long as the hardened one, on clean texts alone."""
        return self.path / "control"

    @property
    def audits(self) -> Path:
        """The audits of the three."""
        return self.path / "audits"

    def round(self, number: int) -> Path:
        """Rows, training texts and (until the end) checkpoints of a round; round 0 is what comes before the attack."""
        return self.path / "rounds" / str(number)

    def checkpoint(self, number: int) -> Path:
        """The checkpoint that a round ends with."""
        return self.round(number) / "checkpoint"


def open_folder(output: Path, settings: dict[str, Any], *, replace: bool) -> HardeningFolder:
    """Make the folder, or go on in it. `settings` are JSON-able.

    Raises UsageError where something else lies there: another hardening (unless `replace`), or none at all.
    """
    path = output / SETTINGS
    if path.exists() and replace:
        shutil.rmtree(output)
    if not path.exists():
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise UsageError(f"{output}: exists and holds no hardening; choose another output")
        make_folder(output)
        write_text(path, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
        return HardeningFolder(output)
    there, now = _read(path), _flat(json.loads(json.dumps(settings)))
    changed = [name for name in {**now, **there} if there.get(name) != now.get(name)]
    if changed:
        name = changed[0]
        raise UsageError(
            f"{output}: holds another hardening ({name}: {there.get(name)!s:.60} there, {now.get(name)!s:.60} asked); "
            "choose another output or use --replace"
        )
    return HardeningFolder(output)


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of the training by names of their own: train.epochs."""
    train = settings.get("train", {})
    return {**settings, **{f"train.{name}": value for name, value in train.items()}, "train": None}


def _read(path: Path) -> dict[str, Any]:
    """The settings there, by flat names."""
    try:
        return _flat(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: damaged ({type(error).__name__}); use --replace to start anew") from error
