"""What the MLflow run of a training says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from harness.api.checkpoint import CheckpointInfo
from harness.provenance.claim import TrainingRecord, training_line
from harness.provenance.claim_check import ClaimCheck
from harness.provenance.manifest import TrainingManifest, Unprivatised
from harness.tracking.runs import checkpoint_tags, common_tags, dataset_input, flat
from privacy.training.settings.spec import config_digest

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric

TRAINING_ID = "assay.training_id"
UNPRIVATISED = "unprivatised."
"""Begins the name of every metric of a private run that noise does not protect."""
MOST_POINTS = 1000
"""Of the loss curve."""
_ELSEWHERE = ("data", "held_out")
"""Keys of the spec that are no params: they are logged as inputs."""
_CLAIMED = (
    *("epsilon", "epsilon_lower", "run_epsilon", "second_opinion", "rdp", "delta", "noise_multiplier", "sample_rate"),
    *("compositions", "steps", "steps_lost", "max_grad_norm", "group", "units"),
)


def training_params(manifest: TrainingManifest) -> dict[str, str]:
    """The training spec as flat params: `privacy.clipping`."""
    return dict(flat({key: value for key, value in manifest.config.items() if key not in _ELSEWHERE}))


def training_tags(
    training_id: str, folder: Path, info: CheckpointInfo, manifest: TrainingManifest, check: ClaimCheck
) -> dict[str, str]:
    """What a run is searched by: the checkpoint, as its audits name it; what it was made from; what is claimed."""
    tags = {
        TRAINING_ID: training_id,
        "assay.spec_digest": config_digest(manifest.config),
        "assay.task": manifest.task,
        "assay.training": training_line(TrainingRecord.of(manifest, check)),
        "assay.data.members": manifest.members_digest,
        **checkpoint_tags(str(folder), info.fingerprint.digest, info.fingerprint),
        **common_tags(manifest.versions),
    }
    optional = {
        "assay.base": manifest.base,
        "assay.base_fingerprint": manifest.base_fingerprint,
        "assay.data.non_members": manifest.non_members_digest,
        "assay.device": manifest.device,
    }
    tags |= {key: text for key, text in optional.items() if text}
    claim = manifest.privacy
    if claim is not None and check.verified:
        tags |= {f"assay.privacy.{name}": getattr(claim, name) for name in ("unit", "accountant", "sampling", "ledger")}
    return tags


def training_metrics(manifest: TrainingManifest, check: ClaimCheck) -> dict[str, float]:
    """Numbers of the whole training; those without a value, and bounds that are infinite, have no entry.

    A claim that is not verified has none either: a number without its doubt would read as a guarantee.
    """
    values: dict[str, float | None] = {
        "training/steps": manifest.steps,
        "training/records": manifest.trained_n,
        "training/seconds": manifest.seconds,
        "training/peak_memory": manifest.peak_memory,
    }
    claim = manifest.privacy
    if claim is not None:
        values |= {f"privacy/{name}": getattr(claim, name) for name in _CLAIMED if check.verified}
        values |= _facts(claim.unprivatised) if claim.unprivatised else {}
    return {key: float(value) for key, value in values.items() if value is not None and math.isfinite(value)}


def _facts(facts: Unprivatised) -> dict[str, float | None]:
    values: dict[str, float | None] = {
        f"{UNPRIVATISED}{name}": getattr(facts, name) for name in ("clipped", "non_finite", "drawn")
    }
    return values | {
        f"{UNPRIVATISED}gradient_norm/quantile_{key}": value for key, value in facts.norm_quantiles.items()
    }


def loss_curve(rows: pd.DataFrame, most: int = MOST_POINTS) -> Iterator[tuple[int, float]]:
    """Last step and mean record loss of each of at most `most` stretches of steps; steps without a loss are out."""
    rows = rows[rows["finite"] > 0]
    if len(rows) <= most:
        yield from zip(rows["step"].tolist(), rows["loss"].tolist(), strict=True)
        return
    stretch = np.arange(len(rows)) // math.ceil(len(rows) / most)
    for _, part in rows.groupby(stretch):
        yield int(part["step"].iloc[-1]), float(np.average(part["loss"], weights=part["finite"]))


def metric_entries(manifest: TrainingManifest, rows: pd.DataFrame | None, at: int, check: ClaimCheck) -> list[Metric]:
    """Metrics and curves, all at one Unix time (ms), so that logging them again adds nothing to the store."""
    from mlflow.entities import Metric

    private = manifest.privacy
    prefix = UNPRIVATISED if private else "training/"
    facts = private.unprivatised if private else None
    epochs = facts.losses if facts else manifest.losses
    entries = [Metric(key, value, at, 0) for key, value in training_metrics(manifest, check).items()]
    entries += [Metric(f"{prefix}epoch_loss", loss, at, epoch) for epoch, loss in enumerate(epochs) if loss is not None]
    if rows is not None:
        entries += [Metric(f"{prefix}loss", loss, at, step) for step, loss in loss_curve(rows)]
    return entries


def dataset_inputs(manifest: TrainingManifest) -> list[DatasetInput]:
    """The records trained on and those held out. No data is sent."""
    members = manifest.members.model_dump(mode="json")
    inputs = [dataset_input(members, manifest.members_digest, manifest.members_n, "training")]
    if manifest.non_members is not None and manifest.non_members_digest is not None:
        held_out = manifest.non_members.model_dump(mode="json")
        inputs.append(dataset_input(held_out, manifest.non_members_digest, manifest.non_members_n, "held out"))
    return inputs
