"""What membership makes of a checkpoint, as an audit runs it: prepared first, rows checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from harness.api.models import Models
from harness.api.probe import Plan
from harness.api.scorer import Scorer
from harness.checkpoint import CheckpointInfo, load_checkpoint
from harness.record.prepared import KeptOnDisk
from harness.scorer.hf import HFScorer
from suites.memorization.membership.probe import Membership


def audited(
    probe: Membership, info: CheckpointInfo, folder: Path, others: Mapping[str, Callable[[], Scorer]] | None = None
) -> pd.DataFrame:
    """Its validated rows."""
    scorer = HFScorer(load_checkpoint(info, device="cpu"))
    models = Models(scorer, others or {})
    cases = probe.cases(Plan(info, 0))
    ready = probe.within(models, KeptOnDisk(folder / "kept"))
    ready.prepare(models, Plan(info, 0, cases=cases))
    return pd.DataFrame(probe.Row.validate(pd.DataFrame(list(ready.run(scorer, cases)))))
