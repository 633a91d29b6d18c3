"""What a training left beside an audited checkpoint, read as it lies there; a model is never loaded.

A checkpoint's address comes from an audit, which may be a stranger's: only files of these names are opened, plain ones
alone, and what they hold is shown as text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.audits import Audit
from dashboards.settings import read_settings
from harness.base.confined import read_bytes
from harness.base.reading import is_folder
from harness.errors import AssayError, CheckpointError, NoDataError, UsageError
from harness.provenance.artefacts import find_artefact
from harness.provenance.manifest import TrainingManifest, read_manifest
from harness.provenance.spending import SPENDING_NAME, Spending, read_spending
from harness.provenance.trade_off import TRADE_OFF_NAME, TradeOff, read_trade_off

_CANARIES = "canaries"
_MOST_BYTES = 2**28
"""Of the list of canaries: some 300,000 of 800 characters."""
_MOST_FOLDERS = 500
"""Looked into for frontiers: a folder of audits has few others."""
_ABOVE = 3
"""Folders above a checkpoint in which a history may lie: a frontier's models lie two below the folder of all."""


@dataclass(frozen=True, slots=True)
class FoundTradeOff:
    """A frontier's folder, and its numbers or what is wrong with them."""

    folder: Path
    trade_off: TradeOff | None
    damage: str = ""


def checkpoint_folder(audit: Audit) -> Path | None:
    """The folder that was audited, where it lies here; a relative path begins where the dashboard was started."""
    path = read_settings().folder / audit.manifest.checkpoint.source.split("#")[0]
    return path.absolute() if is_folder(path) else None


def training_manifest(audit: Audit) -> TrainingManifest | None:
    """The manifest of the training that made the audited weights; None where it is not here, or of others."""
    found = _manifest_there(audit)
    return found if found is not None and found.weights == audit.manifest.checkpoint.weights else None


def holds_others(audit: Audit) -> bool:
    """Whether the folder that was audited holds the weights of another training by now, as its manifest says."""
    found = _manifest_there(audit)
    return found is not None and found.weights != audit.manifest.checkpoint.weights


def canary_list(audit: Audit) -> list[dict[str, Any]]:
    """The canaries that the training made up, as its list has them; not which were planted.

    Raises NoDataError where the list is not here, UsageError where it is not the one that training left.
    """
    folder, manifest = checkpoint_folder(audit), training_manifest(audit)
    if folder is None or manifest is None:
        raise NoDataError("the checkpoint of this audit, with its training's manifest, does not lie on this machine")
    path = find_artefact(folder, manifest.artefacts, _CANARIES)
    try:
        listed = json.loads(read_bytes(path, _MOST_BYTES))["canaries"]
        return [dict(canary) for canary in listed]
    except (CheckpointError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{path}: holds no canaries, or damaged ones; restore it") from error


def trade_offs(output: Path, audit: Audit) -> list[FoundTradeOff]:
    """Frontiers in the folder of audits, above the checkpoint, and beside it; that of the checkpoint itself first."""
    folder = checkpoint_folder(audit)
    places: list[Path] = []
    if folder is not None:
        places += [folder.parent, *_folders(folder.parent)]
    places += [output.absolute(), *_folders(output.absolute())]
    return [_read_trade_off(place) for place in dict.fromkeys(places) if (place / TRADE_OFF_NAME).is_file()]


def spending(audit: Audit) -> tuple[Path, Spending] | None:
    """The nearest history of what was spent, above the checkpoint; None where none was saved. Raises AuditError."""
    folder = checkpoint_folder(audit)
    above = [] if folder is None else list(folder.parents)[:_ABOVE]
    place = next((each for each in above if (each / SPENDING_NAME).is_file()), None)
    return None if place is None else (place, read_spending(place / SPENDING_NAME))


def _manifest_there(audit: Audit) -> TrainingManifest | None:
    """That in the folder that was audited, whatever lies there by now; None where it cannot be read."""
    folder = checkpoint_folder(audit)
    try:
        return None if folder is None else read_manifest(folder)
    except (AssayError, OSError):
        return None


def _read_trade_off(folder: Path) -> FoundTradeOff:
    try:
        return FoundTradeOff(folder, read_trade_off(folder / TRADE_OFF_NAME))
    except AssayError as error:
        return FoundTradeOff(folder, None, str(error))


def _folders(parent: Path) -> Iterator[Path]:
    try:
        found = sorted(each for each in parent.iterdir() if each.is_dir())
    except OSError:
        return
    yield from found[:_MOST_FOLDERS]
