"""The folder of trained cells: what it says about their settings, so that no others get mixed into it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.base.files import make_folder, write_text
from harness.errors import UsageError
from privacy.frontier.grid import Grid, differing
from privacy.training.settings.spec import TrainSpec

FILE_NAME = "grid.json"
Settings = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Kept:
    """A kind of folder: its name, that of its cells together, and the file with their settings."""

    name: str
    cells: str
    file: str


FRONTIER = Kept("frontier", "grid", FILE_NAME)


def open_folder(grid: Grid, records: str) -> None:
    """Make the grid's folder, or go on in it, see `open_cells`; `records` is the digest of the training records."""
    open_cells(grid.output, grid.settings, records, grid.spec.data.source, FRONTIER)


def open_cells(output: Path, settings: Settings, records: str, source: str, what: Kept) -> None:
    """Make the folder of these cells, or go on in it.

    Args:
        output: the folder.
        settings: by part; equal for cells that may lie together.
        records: digest of the training records.
        source: where they come from.
        what: the kind of cells, and the file that says their settings.

    Raises:
        UsageError: something else lies there: other cells, the same on other records, or none at all.
    """
    path = output / what.file
    if not path.exists():
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise UsageError(f"{output}: exists and holds no {what.name}; choose another output")
        make_folder(output)
        write_text(path, json.dumps({"settings": settings, "records": records}, indent=2) + "\n")
        return
    there = _read(path, settings)
    differences = list(differing(settings, {part: _today(value) for part, value in there["settings"].items()}))
    if differences:
        raise UsageError(
            f"{output}: holds another {what.cells} (it differs in {', '.join(differences[:3])}); choose another output"
        )
    if there["records"] != records:
        raise UsageError(
            f"{output}: its models were trained on other records than {source} now holds; choose another output"
        )


def _read(path: Path, parts: Iterable[str]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        settings = {part: dict(content["settings"][part]) for part in parts}
        return {"settings": settings, "records": content["records"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: damaged ({type(error).__name__}); restore it or choose another output") from error


def _today(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as this version writes them; those that came after they were written have their defaults."""
    try:
        return TrainSpec.model_validate({**settings, "output": "."}).canonical()
    except ValidationError:
        return settings
