"""Finished audits of `quality/classification` with chosen answers, for tests of comparisons. No model runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api.case import content_id
from harness.api.probe import RowDict
from harness.audit.spec import AuditSpec
from harness.provenance.claim import TrainingRecord
from harness.record.folder import AuditFolder, AuditManifest, CheckpointRecord, DatasetRecord, ProbeRecord, Status
from harness.record.rows import RowStore
from suites.quality.classification import Classification

NAME = "quality/classification"
ACCURACY = f"{NAME}/accuracy"


def answers(n: int, accuracy: float, seed: int) -> NDArray[np.bool_]:
    """Which of n cases are right."""
    return np.asarray(np.random.default_rng(seed).random(n) < accuracy)


def make_audit(
    folder: Path,
    right: Sequence[bool] | NDArray[np.bool_],
    *,
    start: int = 0,
    errors: int = 0,
    excluded: int = 0,
    digest: str = "d" * 64,
    params: dict[str, Any] | None = None,
    training: TrainingRecord | None = None,
    **fields: Any,
) -> AuditFolder:
    """An audit whose cases `start`, `start` + 1, ... are right or not, but for the first `errors`, which failed.

    And but for the last `excluded`, to which the probe does not apply.
    """
    made = AuditFolder(folder)
    folder.mkdir(parents=True)
    rows = [_row(start + at, bool(hit), failed=at < errors) for at, hit in enumerate(right)]
    for at in range(len(rows) - excluded, len(rows)):
        rows[at] = {"case_id": case_id(start + at), "status": "excluded", "error": "no word"}
    store = RowStore(folder, NAME, Classification.Row)
    store.append(rows)
    made.write_metrics([metric.with_prefix(NAME) for metric in Classification().measure(store.read())])
    made.write_manifest(_manifest(folder, len(rows), digest, params or {}, training, **fields))
    return made


def case_id(number: int) -> str:
    """Id of a case."""
    return content_id({"number": number})


def _row(number: int, right: bool, *, failed: bool) -> RowDict:
    if failed:
        return {"case_id": case_id(number), "status": "error", "error": "the logits are NaN"}
    score = 0.6 + 0.3 * ((number * 7919) % 100) / 100
    label = number % 2
    likely = score if right else 1 - score
    return {
        "case_id": case_id(number),
        "status": "ok",
        "error": None,
        "label": label,
        "predicted": label if right else 1 - label,
        "probabilities": [likely, 1 - likely] if label == 0 else [1 - likely, likely],
        "nll": float(-np.log(likely)),
        "truncated": 0,
    }


def _manifest(
    folder: Path, n: int, digest: str, params: dict[str, Any], training: TrainingRecord | None, **fields: Any
) -> AuditManifest:
    spec = AuditSpec.model_validate({"checkpoint": "models/toy", "tracking": {"uri": "off"}})
    about = Classification.about
    probe = ProbeRecord(
        name=NAME,
        version="1",
        params=params,
        summary=about.summary,
        paper=about.paper,
        cannot_tell=about.cannot_tell,
        cases=n,
        available=n,
        cases_digest="e" * 64,
        data={"examples": DatasetRecord(source={"source": "texts.csv"}, digest=digest, n=n)},
    )
    checkpoint = CheckpointRecord(
        source="models/toy",
        architecture="BertForSequenceClassification",
        model_type="bert",
        parameters=10,
        labels=("0", "1"),
        offers=("sequence classifier",),
        weights="a" * 64,
        config="b" * 64,
        tokenizer="c" * 64,
        fingerprint=content_id({"folder": str(folder)}),
        training=training,
    )
    values: dict[str, Any] = {
        "audit_id": folder.name,
        "created": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:05:05+00:00",
        "status": Status.FINISHED,
        "name": "toy",
        "spec": spec.canonical(),
        "spec_digest": spec.digest(),
        "checkpoint": checkpoint,
        "probes": (probe,),
        "seed": 0,
    }
    return AuditManifest(**{**values, **fields})
