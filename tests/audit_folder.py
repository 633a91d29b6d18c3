"""Finished audits made without a model, for tests of everything that reads an audit's folder."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pandera.typing import Series

from harness.api.metrics import Better, Metric, missing_metric
from harness.api.probe import ProbeRow, RowDict
from harness.audit.spec import AuditSpec
from harness.gate.decide import Policy, decide
from harness.record.folder import (
    AuditFolder,
    AuditManifest,
    CheckpointRecord,
    DatasetRecord,
    ProbeRecord,
    Status,
    WorkRecord,
)
from harness.record.rows import RowStore
from harness.stats.intervals import clopper_pearson

HOSTILE = "<img src=x onerror=alert(1)> **bold** [link](http://evil.example) =1+1 \u202e"
GATES: list[dict[str, Any]] = [
    {"id": "accurate", "metric": "quality/classification/accuracy", "min": 0.6},
    {"id": "calibrated", "metric": "quality/classification/ece", "max": 0.05},
    {"id": "robust", "metric": "adversarial/deepwordbug/attack_success", "max": 0.3},
    {"id": "fair", "metric": "bias/counterfactual/flip_rate", "max": 0.05},
    {"id": "private", "metric": "memorization/membership/auc", "max": 0.6},
]
PASSING_GATES: list[dict[str, Any]] = [
    GATES[0],
    {"id": "robust", "metric": "adversarial/deepwordbug/attack_success", "max": 0.95},
]


class ClassificationRow(ProbeRow):
    text: Series[str]
    label: Series[str]
    predicted: Series[str]
    correct: Series[bool]
    probability: Series[float]
    tokens: Series[int]


class AttackRow(ProbeRow):
    original: Series[str]
    perturbed: Series[str]
    queries: Series[int]
    succeeded: Series[bool]


PROBES: dict[str, tuple[str, type[ProbeRow]]] = {
    "quality/classification": ("How often and how surely the classifier is right.", ClassificationRow),
    "adversarial/deepwordbug": ("Share of right answers that character edits can flip.", AttackRow),
    "bias/counterfactual": ("How answers change when identity terms are swapped.", ClassificationRow),
    "memorization/membership": ("Whether training members can be told from others by their loss.", ClassificationRow),
}


def make_audit(
    output: Path,
    audit_id: str = "20260102T030405Z-sentiment-ab12",
    *,
    passes: bool = False,
    rows: int = 40,
    status: Status = Status.FINISHED,
    spec: dict[str, Any] | None = None,
) -> AuditFolder:
    """An audit of a sentiment classifier; unless it `passes`, one gate blocks and three are undecided.

    `rows` of `quality/classification`, every 20th of them an error; `adversarial/deepwordbug` has hostile text.
    """
    folder = AuditFolder(output / audit_id)
    folder.path.mkdir(parents=True)
    policy = Policy.model_validate({"name": "release", "gates": PASSING_GATES if passes else GATES})
    given = {"checkpoint": "models/sentiment", "name": "sentiment", "output": str(output), "policy": policy}
    audit_spec = AuditSpec.model_validate({**given, **(spec or {})})
    for probe, made in {
        "quality/classification": list(_classification_rows(rows)),
        "adversarial/deepwordbug": list(_attack_rows(40)),
    }.items():
        store = RowStore(folder.path, probe, PROBES[probe][1])
        for start in range(0, len(made), 5000):
            store.append(made[start : start + 5000])
    manifest = _manifest(audit_id, audit_spec, rows, status)
    (folder.path / "spec.yaml").write_text(yaml.safe_dump(audit_spec.canonical()), encoding="utf-8")
    if status is Status.FINISHED:
        metrics = _metrics(rows)
        folder.write_metrics(metrics)
        folder.write_verdict(decide(policy, metrics, incomplete=manifest.incomplete))
        (folder.path / "report.md").write_text("# Report\n", encoding="utf-8")
    folder.write_manifest(manifest)
    return folder


def _classification_rows(n: int) -> Iterator[RowDict]:
    chance = random.Random(0)
    for index in range(n):
        case = {"case_id": _digest(f"case {index}")[:16]}
        if index % 20 == 19:
            yield {**case, "status": "error", "error": "the logits are NaN"}
            continue
        label, right = chance.choice(["negative", "positive"]), chance.random() < 0.85
        yield case | {
            "status": "ok",
            "error": None,
            "text": f"review {index}: the film was {'good' if label == 'positive' else 'dull'}, "
            + "really " * (index % 9),
            "label": label,
            "predicted": label if right else {"negative": "positive", "positive": "negative"}[label],
            "correct": right,
            "probability": round(chance.uniform(0.5, 1.0), 4),
            "tokens": 8 + index % 9,
        }


def _attack_rows(n: int) -> Iterator[RowDict]:
    for index in range(n):
        yield {
            "case_id": _digest(f"attack {index}")[:16],
            "status": "ok",
            "error": None,
            "original": HOSTILE if index == 0 else f"a fine film, number {index}",
            "perturbed": f"a fnie film, number {index}",
            "queries": 10 + index,
            "succeeded": index % 4 != 0,
        }


def _metrics(rows: int) -> list[Metric]:
    good = rows - rows // 20
    right = round(0.85 * good)
    return [
        _share("quality/classification/accuracy", right, good, Better.HIGHER, missing=rows // 20),
        _share("quality/classification/accuracy", right // 2, good // 2, Better.HIGHER, slice="positive"),
        _number("quality/classification/macro_f1", 0.848, 0.82, 0.87, good, Better.HIGHER),
        _number("quality/classification/ece", 0.06, 0.03, 0.09, good, Better.LOWER),
        _number("quality/classification/nll", 0.41, 0.36, 0.47, good, Better.LOWER, unit="nats"),
        _share("quality/classification/brier", round(0.12 * good), good, Better.LOWER, headline=False),
        _share("adversarial/deepwordbug/attack_success", 30, 40, Better.LOWER),
        _number("adversarial/deepwordbug/mean_queries", 19.5, 17.2, 21.9, 40, Better.HIGHER, unit="queries"),
        _share("bias/counterfactual/flip_rate", 4, 60, Better.LOWER),
        missing_metric("memorization/membership/auc", "no non-members are recorded", better=Better.TARGET, missing=40),
    ]


def _share(
    key: str, hits: int, n: int, better: Better, *, missing: int = 0, slice: str = "", headline: bool = True
) -> Metric:
    interval = clopper_pearson(hits, n)
    return Metric(
        key=key,
        value=hits / n,
        low=interval.low,
        high=interval.high,
        n=n,
        missing=missing,
        unit="rate",
        better=better,
        interval=interval.method,
        headline=headline,
        slice=slice,
    )


def _number(key: str, value: float, low: float, high: float, n: int, better: Better, unit: str = "") -> Metric:
    return Metric(
        key=key, value=value, low=low, high=high, n=n, unit=unit, better=better, interval="percentile bootstrap"
    )


def _manifest(audit_id: str, spec: AuditSpec, rows: int, status: Status) -> AuditManifest:
    finished = status is Status.FINISHED
    return AuditManifest(
        audit_id=audit_id,
        created="2026-01-02T03:04:05+00:00",
        finished="2026-01-02T03:09:05+00:00" if finished else None,
        status=status,
        why="" if finished else "interrupted by the user",
        name=spec.title,
        spec=spec.canonical(),
        spec_digest=spec.digest(),
        checkpoint=CheckpointRecord(
            source="models/sentiment",
            architecture="BertForSequenceClassification",
            model_type="bert",
            parameters=22_700_000,
            labels=("negative", "positive"),
            offers=("embeddings", "sequence classifier"),
            weights=_digest("weights"),
            config=_digest("config"),
            tokenizer=_digest("tokenizer"),
            fingerprint=_digest("checkpoint"),
            notes=("the checkpoint has no language-model head",),
        ),
        probes=tuple(_probe(name, summary, rows) for name, (summary, _) in PROBES.items()),
        not_applicable={
            "bias/crows_pairs": "needs a causal LM or masked LM; the checkpoint offers sequence classifier"
        },
        incomplete={"bias/counterfactual": "the limit of 5 minutes was reached after 60 of 90 cases"},
        plugin_errors={"broken = acme.probe:Probe": "ModuleNotFoundError: No module named 'acme'"},
        seed=spec.seed,
        device="cpu",
        dtype="fp32",
        versions={"assay": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "transformers": "4.57.6"},
        git_commit="0123456789abcdef0123456789abcdef01234567",
        command="assay run audit.yaml",
        work=(
            WorkRecord(
                probe="quality/classification",
                rows=rows,
                tokens=rows * 12,
                padded_tokens=rows * 13,
                batches=3,
                halvings=0,
                truncated_rows=2,
                seconds=4.2,
            ),
        ),
    )


def _probe(name: str, summary: str, rows: int) -> ProbeRecord:
    source = {"source": "data/reviews.csv", "split": "test"}
    return ProbeRecord(
        name=name,
        version="1",
        params={},
        summary=summary,
        paper="a paper",
        cannot_tell="Whether the same holds for texts of another kind.",
        cases=rows,
        available=rows * 2,
        cases_digest=_digest(f"cases of {name}"),
        data={"texts": DatasetRecord(source=source, digest=_digest("reviews"), n=rows * 2)},
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
