"""The form every benchmark reports in: cells of ours against the peer's, a table, and a JSON file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.table import Table

RESULTS = Path(__file__).parent / "results"
VERSIONED = ("torch", "transformers", "numpy")


@dataclass(frozen=True, slots=True)
class Cell:
    """One measured quantity of both; `target` is the ratio aimed at, `extra` goes into the JSON beside it."""

    case: str
    ours: float
    peer: float
    target: float | None = None
    lower_is_better: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Ours over the peer's; 1 where both are the same, 0 too."""
        return 1.0 if self.ours == self.peer else self.ours / self.peer

    @property
    def is_won(self) -> bool:
        """Whether ours is at least as good as the peer's."""
        return self.ratio <= 1 if self.lower_is_better else self.ratio >= 1

    def as_json(self) -> dict[str, Any]:
        """The cell with its ratio; numbers to four significant digits, which is more than repeats agree on."""
        numbers = {"ours": self.ours, "peer": self.peer, "ratio": self.ratio}
        rounded = {name: float(f"{number:.4g}") for name, number in numbers.items()}
        return {
            "case": self.case,
            **rounded,
            "target": self.target,
            "lower_is_better": self.lower_is_better,
            **self.extra,
        }


def table(title: str, cells: Sequence[Cell]) -> Table:
    """All cells, the lost ones too."""
    shown = Table(title=title)
    for name in ("case", "ours", "peer", "ratio", "better is", "ours is"):
        shown.add_column(name, justify="left" if name == "case" else "right")
    for cell in cells:
        aim = "lower" if cell.lower_is_better else "higher"
        verdict = "[green]no worse[/green]" if cell.is_won else "[red]worse[/red]"
        shown.add_row(cell.case, f"{cell.ours:.4g}", f"{cell.peer:.4g}", f"{cell.ratio:.2f}", aim, verdict)
    return shown


def write(name: str, cells: Sequence[Cell], *, peers: Sequence[str] = (), folder: Path = RESULTS) -> Path:
    """Write `folder`/NAME.json: device, versions (ours, the libraries', the peers'), date, cells."""
    content = {
        "name": name,
        "device": device(),
        "versions": {package: _version(package) for package in ("assay", *VERSIONED, *peers)},
        "date": datetime.now(UTC).date().isoformat(),
        "cells": [cell.as_json() for cell in cells],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def device() -> str:
    """The accelerator's name, else the processor kind and how many cores may be used."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.machine()} CPU, {cores} cores, {torch.get_num_threads()} threads"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
