"""The trainings that made a checkpoint, with keyed digests of what each read: kept beside its folder, not inside it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from harness.base.confined import open_regular
from harness.base.files import explain
from harness.base.frozen import Frozen
from harness.errors import UsageError
from harness.provenance.artefacts import Artefact, beside
from privacy.ledger.header import LedgerHeader
from privacy.lineage.names import RECORDS_NAME
from privacy.lineage.records import DIGEST_BYTES, Digests

_MOST_BYTES = 2**31
"""Of the file: some forty trainings on a million records each, with whose they are."""
RECORDS = "records"
"""Name of the artefact."""
_TEXTS, _UNITS, _ABOUT = "texts", "units", "history"


class Run(Frozen):
    """A finished private training, by its ledger; header and steps decide every line of it."""

    header: LedgerHeader
    spent: int = Field(ge=0, description="noisy steps")
    head: str = Field(description="hash of the ledger's last line")


class Stage(Frozen):
    """One training."""

    weights: str = Field(description="digest of the weights it made")
    records: int = Field(ge=1, description="how many it read")
    key: str = Field(description="id of the key of its digests")
    run: Run | None = Field(description="its ledger; null: trained without privacy")
    outside: tuple[str, ...] = Field(default=(), description="what its own claim does not cover")
    pairs: bool | None = Field(default=None, description="whether its records are pairs of texts; null: not recorded")


class History(Frozen):
    """All trainings that lead to some weights, oldest first, as far as is known."""

    stages: tuple[Stage, ...]
    unknown: tuple[str, ...] = Field(default=(), description="why what came before some of them cannot be told")


@dataclass(frozen=True, slots=True)
class Kept:
    """A history with the digests of each stage."""

    history: History
    texts: tuple[Digests, ...]
    units: tuple[Digests, ...]

    @property
    def weights(self) -> str:
        """Of the checkpoint it belongs to."""
        return self.history.stages[-1].weights


def records_path(output: Path) -> Path:
    """Where the history of the checkpoint `output` lies: beside it, since a checkpoint's folder gets published."""
    return beside(output, RECORDS_NAME)


def records_artefact(content: bytes) -> Artefact:
    """What a manifest names that file as."""
    return Artefact(
        name=RECORDS, kind="record-digests", digest=sha256(content).hexdigest(), readers="owner", file=RECORDS_NAME
    )


def kept_bytes(kept: Kept) -> bytes:
    """A history as a file; the same one gives the same bytes."""
    tensors = {f"{number}/{_TEXTS}": texts for number, texts in enumerate(kept.texts)}
    tensors |= {f"{number}/{_UNITS}": units for number, units in enumerate(kept.units)}
    about = kept.history.model_dump_json(exclude_unset=True)  # a ledger's header must keep the fields it has
    return bytes(save(tensors, {_ABOUT: about}))


def read_history(output: Path) -> Kept | None:
    """What lies beside `output`; None where nothing does. Raises UsageError for a damaged file."""
    return read_kept(records_path(output))


def read_kept(path: Path) -> Kept | None:
    """The history at `path`; None where there is none. Raises UsageError for a damaged file."""
    if not os.path.lexists(path):
        return None
    with open_regular(path, _MOST_BYTES):  # no pipe, no link to elsewhere, no file that is all holes
        pass
    try:
        with safe_open(path, framework="numpy") as file:
            history = History.model_validate(json.loads(file.metadata()[_ABOUT]))
            numbers = range(len(history.stages))
            texts = tuple(_digests(file, f"{number}/{_TEXTS}") for number in numbers)
            units = tuple(_digests(file, f"{number}/{_UNITS}") for number in numbers)
        if not history.stages:
            raise ValueError("it has no training")
        return Kept(history, texts, units)
    except (SafetensorError, ValidationError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{path}: holds no digests of records, or damaged ones; put back a copy, or move it away: then what the "
            "checkpoint was trained on counts as unknown"
        ) from error
    except OSError as error:
        raise explain(error, path) from error


def _digests(file: Any, name: str) -> Digests:
    found = np.asarray(file.get_tensor(name))
    if found.dtype != np.uint8 or found.ndim != 2 or found.shape[1] != DIGEST_BYTES:
        raise ValueError(f"{name} holds no digests")
    return found
