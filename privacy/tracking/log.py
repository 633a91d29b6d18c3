"""Logs a finished training to MLflow, from the checkpoint's folder and the step rows beside it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from harness.base.files import make_folder, write_text
from harness.base.stores import clean_note, sqlite_path
from harness.checkpoint import CheckpointInfo, CheckpointSource, inspect_checkpoint
from harness.errors import AuditError, CheckpointError, UsageError
from harness.provenance.claim_check import UNCHECKED, ClaimCheck
from harness.provenance.manifest import MANIFEST_NAME, TrainingManifest
from harness.tracking.artifacts import artifacts_of
from harness.tracking.runs import experiment_id, find_or_create, log_entries
from harness.tracking.session import TrackingError, mlflow_session
from privacy.lineage.names import LEDGER_NAME, earlier_ledger
from privacy.tracking.run import (
    TRAINING_ID,
    UNPRIVATISED,
    dataset_inputs,
    metric_entries,
    training_params,
    training_tags,
)
from privacy.training.records.step_rows import read_step_rows, step_rows_path

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ARTIFACTS = (MANIFEST_NAME, LEDGER_NAME)


@dataclass(frozen=True, slots=True)
class _Training:
    """What is logged."""

    folder: Path
    info: CheckpointInfo
    manifest: TrainingManifest
    check: ClaimCheck
    """Of its privacy claim: `assay sync` logs whatever lies in a folder."""
    rows: pd.DataFrame | None
    """None where those beside the checkpoint are lost, or another training's."""
    id: str
    finished: int
    """Unix time in ms."""


def log_training(output: Path, uri: str, experiment: str = "assay") -> str:
    """Log the training that made the checkpoint `output`, and note it beside it; returns the run id.

    One logged before is updated, not repeated. Raises TrackingError when these weights have no training manifest, or
    when the store is away or refuses the run; the note then says that it waits.
    """
    training = _read(output)
    note = {"uri": uri, "experiment": experiment, "training_id": training.id}
    try:
        _make_room(uri)
        with mlflow_session(uri) as client:
            run_id = _log(client, uri, experiment, training)
    except TrackingError:
        _write_note(output, {**note, "state": "pending"})
        raise
    _write_note(output, {**note, "run_id": run_id, "state": "logged"})
    return run_id


def tracking_note(output: Path) -> dict[str, str]:
    """Where the training of `output` was logged, or waits to be; empty where nobody tried."""
    try:
        note = clean_note(dict(json.loads(_note_path(output).read_text(encoding="utf-8"))))
        return note if note["training_id"] == _identity(output) else {}
    except (OSError, ValueError, KeyError):  # a damaged note is as good as none: logging again finds the run
        return {}


def pending_trainings(output: Path) -> list[Path]:
    """Trained checkpoints directly below `output` that could not be logged."""
    trained = sorted(path.parent for path in output.glob(f"*/{MANIFEST_NAME}"))
    return [folder for folder in trained if tracking_note(folder).get("state") == "pending"]


def _read(output: Path) -> _Training:
    try:
        info = inspect_checkpoint(CheckpointSource(source=str(output)))
        manifest = info.manifest
        if manifest is None:
            raise TrackingError(f"{output}: holds no training manifest of its weights; only a training is logged")
        rows = read_step_rows(output, manifest.weights)
        finished = int((output / MANIFEST_NAME).stat().st_mtime * 1000)
        return _Training(output, info, manifest, _checked(info, manifest), rows, _identity(output), finished)
    except (CheckpointError, AuditError) as error:
        raise TrackingError(str(error)) from error


def _checked(info: CheckpointInfo, manifest: TrainingManifest) -> ClaimCheck:
    if manifest.privacy is None:
        return UNCHECKED
    from privacy.verification.verify import verify_claim  # it imports torch

    return verify_claim(info.path, manifest, info.fingerprint.weights)


def _identity(output: Path) -> str:
    """Of the training, by its manifest: two trainings of one spec may give the same weights."""
    return hashlib.sha256((output / MANIFEST_NAME).read_bytes()).hexdigest()


def _log(client: MlflowClient, uri: str, experiment: str, training: _Training) -> str:
    manifest, folder = training.manifest, training.folder
    found = experiment_id(client, uri, experiment)
    start = training.finished - round(1000 * (manifest.seconds or 0))
    run = find_or_create(client, found, TRAINING_ID, training.id, name=folder.name, start=start)
    run_id = str(run.info.run_id)
    tags = training_tags(training.id, folder, training.info, manifest, training.check)
    entries = metric_entries(manifest, training.rows, training.finished, training.check)
    log_entries(client, run, training_params(manifest), tags, entries)
    client.log_inputs(run_id, dataset_inputs(manifest))
    artifacts = artifacts_of(client, uri, run_id)
    for path in (*(folder / name for name in _ARTIFACTS), *sorted(folder.glob(earlier_ledger("*")))):
        if path.is_file():
            artifacts.log_artifact(str(path))
    if training.rows is not None:
        where = UNPRIVATISED.rstrip(".") if manifest.privacy else "training"
        artifacts.log_artifact(str(step_rows_path(folder)), where)
    client.set_terminated(run_id, status="FINISHED", end_time=training.finished)
    return run_id


def _make_room(uri: str) -> None:
    """The folder of a local sqlite store: a training may come before the first audit, which makes it otherwise."""
    store = sqlite_path(uri)
    if store is None:
        return
    try:
        make_folder(store.parent)
    except (UsageError, OSError) as error:
        raise TrackingError(str(error)) from error


def _note_path(output: Path) -> Path:
    return output.with_name(f"{output.name}.tracking.json")


def _write_note(output: Path, note: dict[str, str]) -> None:
    write_text(_note_path(output), json.dumps(note, indent=2) + "\n", private=True)
