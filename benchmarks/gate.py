"""`assay gate` on two audits of a million rows: seconds and memory of the command itself, start included.

There is no peer that pairs rows; ours is held against the bounds that were set, ten seconds and two GB.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks.report import Cell
from harness.errors import AssayError
from harness.rows import row_parts

PEERS = ("pyarrow",)
ROWS = 1_000_000
SECONDS, GIGABYTES = 10.0, 2.0
"""Bounds."""
GATES = [
    {"id": "accurate", "metric": "quality/classification/accuracy", "min": 0.5},
    {"id": "no worse", "metric": "quality/classification/accuracy", "baseline": {"max_regression": 0.02}},
    {"id": "no worse likelihood", "metric": "quality/classification/nll", "baseline": {"max_regression": 0.05}},
]
"""The last is a paired bootstrap of 10,000 draws."""


def run() -> list[Cell]:
    """Seconds and peak memory with one and with both comparisons."""
    cells = []
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        candidate, baseline = (_audit(home / name, seed) for name, seed in (("candidate", 1), ("baseline", 2)))
        for name, gates in (("McNemar", GATES[:2]), ("McNemar and bootstrap", GATES)):
            policy = home / "policy.yaml"
            policy.write_text(yaml.safe_dump({"name": "speed", "gates": gates}))
            seconds, gigabytes = _gate(candidate, baseline, policy)
            cells += [
                Cell(f"{ROWS:,} rows, {name}: seconds", seconds, SECONDS, 1.0, lower_is_better=True),
                Cell(f"{ROWS:,} rows, {name}: peak GB of all so far", gigabytes, GIGABYTES, 1.0, lower_is_better=True),
            ]
    return cells


def _gate(candidate: Path, baseline: Path, policy: Path) -> tuple[float, float]:
    words = ["gate", str(candidate), "--policy", str(policy), "--baseline", str(baseline)]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "harness.cli", *words], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 1, 3):
        raise AssayError(f"assay gate failed: {done.stderr[-500:]}")
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def _audit(folder: Path, seed: int) -> Path:
    """A finished audit whose one part of rows is replaced by a million."""
    from tests.harness.two_audits import answers, make_audit

    made = make_audit(folder, answers(400, 0.8, seed))
    (part,) = row_parts(folder, "quality/classification")
    small = pd.read_parquet(part)
    random = np.random.default_rng(seed)
    big = small.sample(ROWS, replace=True, random_state=seed, ignore_index=True)
    big["case_id"] = [f"{number:016x}" for number in range(ROWS)]
    big["nll"] = random.exponential(0.5, ROWS)
    big.to_parquet(part, index=False)
    manifest = made.manifest()
    (probe,) = manifest.probes
    made.write_manifest(manifest.model_copy(update={"probes": (probe.model_copy(update={"cases": ROWS}),)}))
    return folder
