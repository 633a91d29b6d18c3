"""The folder of a grid: what it says about its settings, so that no other grid gets mixed into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.base.files import make_folder, write_text
from harness.errors import UsageError
from privacy.frontier.grid import Grid, differing
from privacy.training.settings.spec import TrainSpec

FILE_NAME = "grid.json"


def open_folder(grid: Grid, records: str) -> None:
    """Make the grid's folder, or go on in it; `records` is the digest of the training records.

    Raises UsageError where something else lies there: another grid, the same on other records, or no grid at all.
    """
    path = grid.output / FILE_NAME
    if not path.exists():
        if grid.output.exists() and (not grid.output.is_dir() or any(grid.output.iterdir())):
            raise UsageError(f"{grid.output}: exists and holds no frontier; choose another output")
        make_folder(grid.output)
        write_text(path, json.dumps({"settings": grid.settings, "records": records}, indent=2) + "\n")
        return
    there = _read(path)
    differences = list(differing(grid.settings, {part: _today(value) for part, value in there["settings"].items()}))
    if differences:
        raise UsageError(
            f"{grid.output}: holds another grid (it differs in {', '.join(differences[:3])}); choose another output"
        )
    if there["records"] != records:
        raise UsageError(
            f"{grid.output}: its models were trained on other records than {grid.spec.data.source} now holds; "
            "choose another output"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        settings = {part: dict(content["settings"][part]) for part in ("spec", "plain")}
        return {"settings": settings, "records": content["records"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: damaged ({type(error).__name__}); restore it or choose another output") from error


def _today(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as this version writes them; those that came after they were written have their defaults."""
    try:
        return TrainSpec.model_validate({**settings, "output": "."}).canonical()
    except ValidationError:
        return settings
