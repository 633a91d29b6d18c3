"""An audit of what a training kept, with what lies beside its checkpoint; made without a model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dashboards.memorization.canaries import texts_by_case
from harness.api.metrics import Alarm, Better, Metric
from harness.provenance.artefacts import Artefact, digest_of
from harness.provenance.claim import ClaimRecord, TrainingRecord
from harness.provenance.claim_check import ClaimCheck
from harness.provenance.manifest import MANIFEST_NAME, TrainingManifest
from harness.provenance.spending import SPENDING_NAME, SharedRecords, Spending, Spent, TrainingSpent
from harness.provenance.trade_off import TRADE_OFF_NAME, Estimated, TradeOff, TradeOffPoint
from harness.record.folder import AuditFolder
from tests.audit_folder import HOSTILE, make_audit

AUDIT = "20260104T000000Z-private-0004"
SECRET = f"4711 {HOSTILE}"
_EPSILON, _EXPOSURE = "memorization/epsilon_audit", "memorization/exposure"
_EXTRACTION, _MEMBERSHIP = "memorization/extraction", "memorization/membership"
_N = 40


def make_kept(output: Path, *, alarm: bool = False, claims: bool = True) -> AuditFolder:
    """The audit; its checkpoint lies in `output`/checkpoints/private, with canaries, a frontier and a history."""
    folder = make_audit(output, AUDIT)
    manifest = folder.manifest()
    checkpoint = output / "checkpoints" / "private"
    listed = _beside(checkpoint, manifest.checkpoint.weights)
    ids = list(texts_by_case(listed, manifest.seed))
    rows = {
        _EPSILON: _scored(ids[:_N]),
        _EXPOSURE: _exposed(ids[_N:]),
        _EXTRACTION: _windows(),
        _MEMBERSHIP: _members(),
    }
    for probe, columns in rows.items():
        n = len(next(iter(columns.values())))
        place = folder.path / "rows" / probe.replace("/", "__")
        place.mkdir(parents=True)
        common = {"case_id": [f"case-{i}" for i in range(n)], "status": ["ok"] * n, "error": pa.nulls(n, pa.string())}
        pq.write_table(pa.table({**common, **columns}), place / "part-000000.parquet")
    own = manifest.probes[0]
    params: dict[str, Any] = {"prefix_tokens": 8, "suffix_tokens": 4, "fprs": [0.05, 0.1]}
    probes = [own.model_copy(update={"name": probe, "params": params, "cases": _N}) for probe in rows]
    claim = ClaimRecord(
        epsilon=8.0, delta=1e-5, accountant="prv", unit="each record", units=900, check=ClaimCheck.holds(8.0)
    )
    record = manifest.checkpoint.model_copy(
        update={"source": str(checkpoint), "training": TrainingRecord(privacy=claim if claims else None)}
    )
    folder.write_manifest(manifest.model_copy(update={"probes": tuple(probes), "checkpoint": record}))
    folder.write_metrics(_metrics(alarm))
    return folder


def _metrics(alarm: bool) -> list[Metric]:
    said = Alarm(bound=0.5, reason="more was guessed than that allows") if alarm else None
    lower = Metric(
        key=f"{_EPSILON}/epsilon_lower", value=1.25, low=1.25, high=1.25, n=_N, better=Better.LOWER, alarm=said
    )
    most = Metric(key=f"{_EPSILON}/epsilon_ceiling", value=2.5, n=_N, better=Better.NEITHER)
    copies = Metric(
        key=f"{_EXTRACTION}/extracted_share_by_copies",
        value=0.5,
        low=0.2,
        high=0.8,
        n=9,
        better=Better.LOWER,
        slice="2-3 copies",
    )
    told = Metric(key=f"{_MEMBERSHIP}/auc", value=0.7, low=0.6, high=0.8, n=100, better=Better.LOWER)
    return [lower, most, copies, told]


def _scored(ids: list[str]) -> dict[str, Any]:
    return {
        "case_id": ids,
        "kind": ["random-tokens"] * _N,
        "label": [""] * _N,
        "score": [float(_N - i) for i in range(_N)],
        "planted": [i < _N // 2 for i in range(_N)],
        "claimed": [8.0] * _N,
    }


def _exposed(ids: list[str]) -> dict[str, Any]:
    return {
        "case_id": ids,
        "pattern": ["####"] * len(ids),
        "repetitions": [4] * len(ids),
        "planted": [i % 2 == 0 for i in range(len(ids))],
        "rank": [1, 50] * (len(ids) // 2),
        "exposure": [13.0, 1.5] * (len(ids) // 2),
        "log2_space": [math.log2(10_000)] * len(ids),
        "references": [9999] * len(ids),
        "found": [i % 2 == 0 for i in range(len(ids))],
    }


def _windows() -> dict[str, Any]:
    sides = ["texts"] * 20 + ["control"] * 20
    return {
        "side": sides,
        "document": list(range(40)),
        "matched": [i % 5 for i in range(20)] + [0] * 20,
        "chance": [0.0, 1e-3, 0.5, 1.0] * 5 + [0.0] * 20,
    }


def _members() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    member = [True] * 200 + [False] * 400
    return {
        "member": member,
        "fixing": [False] * 200 + [True, False] * 200,
        "loss": list(rng.normal(size=600) - np.array(member)),
        "zlib": list(rng.normal(size=600)),
        "ceilings": [[0.45, 0.6]] * 600,
    }


def _beside(checkpoint: Path, weights: str) -> list[dict[str, Any]]:
    """What a training would leave in and beside its folder; the canaries."""
    checkpoint.mkdir(parents=True)
    listed = [_canary(i) for i in range(_N + 4)]
    path = checkpoint.with_name("private.canaries.json")
    path.write_text(json.dumps({"version": 1, "spec": "s", "canaries": listed}))
    artefact = Artefact(name="canaries", kind="canaries", digest=digest_of(path), readers="audit", file="canaries.json")
    made: dict[str, Any] = {
        **{"task": "causal_lm", "base": None, "base_fingerprint": None, "weights": weights, "steps": 20, "seed": 0},
        **{"members": {"source": "m.jsonl"}, "members_digest": "d", "members_n": 9, "config": {}, "versions": {}},
    }
    manifest = TrainingManifest.model_validate({**made, "artefacts": [artefact]})
    (checkpoint / MANIFEST_NAME).write_text(manifest.model_dump_json())
    (checkpoint.parent / SPENDING_NAME).write_text(_spending().model_dump_json())
    grid = checkpoint.parent / "grid"
    grid.mkdir()
    (grid / TRADE_OFF_NAME).write_text(_trade_off().model_dump_json())
    return listed


def _canary(place: int) -> dict[str, Any]:
    secret = place >= _N
    return {
        "id": f"c{place}",
        "kind": "secret" if secret else "random-tokens",
        "text": f"the code is {SECRET}" if secret else f"words {place}",
        "repetitions": 4 if secret else 1,
        "secret": SECRET,
        "pattern": "####" if secret else None,
    }


def _spending() -> Spending:
    history = (Spent(after=10, epsilon=6.0), Spent(after=20, epsilon=8.0))
    training = TrainingSpent(name="private", steps=20, planned=20, records=900, epsilon=8.0, history=history)
    group = SharedRecords(
        unit="each record",
        delta=1e-5,
        accountant="prv",
        trainings=(training,),
        together=(Spent(after=1, epsilon=8.0),),
        worst=("private",),
    )
    return Spending(written="2026-01-03T00:00:00+00:00", groups=(group,), total=10.0, total_delta=1e-5)


def _trade_off() -> TradeOff:
    points = tuple(
        TradeOffPoint(
            target=target,
            epsilon=target,
            quality=Estimated(value=value, low=value - 0.1, high=value + 0.1),
            by_seed={0: value},
        )
        for target, value in ((8.0, 0.7), (1.0, 0.6), (math.inf, 0.8))
    )
    return TradeOff(quality="accuracy", better="higher", points=points, n=900, floor=0.5, caption=("Of 900 examples.",))
