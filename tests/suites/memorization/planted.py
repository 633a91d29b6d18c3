"""Tiny checkpoints trained with canaries, and what a probe says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from harness.api.metrics import Metric
from harness.api.probe import Plan, Probe
from harness.checkpoint import CheckpointInfo, CheckpointSource, Permissions, inspect_checkpoint, load_checkpoint
from harness.scorer.hf import HFScorer
from privacy.training import train
from tests.privacy.toys import make_base, make_spec

SECRETS = {"kind": "secret", "count": 20, "pattern": "###", "repetitions": [1, 8], "prefix": "the pin of {name} is "}
RANDOM = {"kind": "random-tokens", "count": 60, "tokens": 6}


def planted(folder: Path, kind: str, head: str, *groups: dict[str, Any], **fields: Any) -> CheckpointInfo:
    """A tiny model without dropout, trained long enough to learn its canaries by heart."""
    base = make_base(folder / "base", kind, head, dropout=False)
    values = {"epochs": 20, "learning_rate": 5e-3, "canaries": {"canaries": groups}, **fields}
    train(make_spec(folder, base, **values))
    return inspect_checkpoint(CheckpointSource(source=str(folder / "trained")), Permissions(manifest_sources=True))


def measured(probe: Probe[Any], info: CheckpointInfo) -> tuple[pd.DataFrame, dict[str, Metric]]:
    """Its validated rows, and its metrics by key, those of slices left out."""
    scorer = HFScorer(load_checkpoint(info, device="cpu"))
    rows = pd.DataFrame(probe.Row.validate(pd.DataFrame(list(probe.run(scorer, probe.cases(Plan(info, 0)))))))
    return rows, {metric.key: metric for metric in probe.measure(rows) if not metric.slice}
