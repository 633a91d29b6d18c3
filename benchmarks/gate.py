"""`assay gate` on two audits of a million rows: seconds of CPU and memory of the command itself, start included.

One comparison with a baseline for each kind of metric. There is no peer that pairs rows; ours is held against the
bounds that were set, ten seconds and two GB.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from benchmarks.report import Cell
from harness.api.probe import Probe
from harness.errors import AssayError
from harness.record.folder import DatasetRecord, ProbeRecord
from harness.record.rows import rows_folder
from suites.adversarial.typos.probe import Typos
from suites.bias.counterfactual import Counterfactual
from suites.memorization.membership.probe import Membership
from suites.quality.classification import Classification
from suites.quality.perplexity import Perplexity

PEERS = ("pyarrow",)
ROWS = 1_000_000
SECONDS, GIGABYTES = 10.0, 2.0
"""Bounds."""
Columns = Callable[[np.random.Generator], dict[str, Any]]


_MEASURE = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "harness.cli", *sys.argv[1:]], capture_output=True, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(done.stdout[-500:], done.stderr[-500:])
print("measured", done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
"""A small process in between: what is started from here begins with the memory of a million rows as its peak."""


def run() -> list[Cell]:
    """Seconds of CPU and peak memory of each kind, and of all gates of a classifier at once."""
    cells = []
    for probe, columns, kinds in KINDS:
        with tempfile.TemporaryDirectory() as scratch:
            home = Path(scratch)
            sides = [_audit(home / name, probe, columns, seed) for name, seed in (("candidate", 1), ("baseline", 2))]
            for kind, metrics in kinds.items():
                gates = [
                    {"id": metric, "metric": f"{probe.name}/{metric}", "baseline": {"max_regression": 0.02}}
                    for metric in metrics
                ]
                (home / "policy.yaml").write_text(yaml.safe_dump({"name": "speed", "gates": gates}))
                cells += _cells(kind, *_gate(sides[0], sides[1], home / "policy.yaml"))
    return cells


def _cells(kind: str, seconds: float, gigabytes: float, wall: float, output: str) -> list[Cell]:
    extra = {"wall": round(wall, 1), "decided": output}
    return [
        Cell(f"{ROWS:,} rows, {kind}: seconds of CPU", seconds, SECONDS, 1.0, lower_is_better=True, extra=extra),
        Cell(f"{ROWS:,} rows, {kind}: peak GB", gigabytes, GIGABYTES, 1.0, lower_is_better=True),
    ]


def _gate(candidate: Path, baseline: Path, policy: Path) -> tuple[float, float, float, str]:
    """Seconds of CPU, peak GB and wall-clock of one `assay gate`, and its verdict."""
    words = ["gate", str(candidate), "--policy", str(policy), "--baseline", str(baseline)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *words], capture_output=True, text=True, env=alone, check=False
    )
    wall = time.perf_counter() - start
    output, _, measured = done.stdout.rpartition("measured ")
    code, seconds, kilobytes = measured.split()
    verdicts = {0: "pass", 1: "block", 3: "inconclusive"}
    if int(code) not in verdicts:
        raise AssayError(f"assay gate failed: {output[-500:]}")
    return float(seconds), float(kilobytes) / 1e6, wall, verdicts[int(code)]


def _audit(folder: Path, probe: type[Probe[Any]], columns: Columns, seed: int) -> Path:
    """A finished audit of one probe whose rows are a million of these."""
    from tests.harness.baseline.two_audits import answers, make_audit

    made = make_audit(folder, answers(400, 0.8, seed))
    common = {"case_id": [f"{number:016x}" for number in range(ROWS)], "status": "ok", "error": None}
    rows = pd.DataFrame({**common, **columns(np.random.default_rng(seed))})
    target = rows_folder(folder, probe.name)
    target.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(target / "part-000000.parquet", index=False)
    manifest = made.manifest()
    data = {"examples": DatasetRecord(source={"source": "texts.csv"}, digest="d" * 64, n=ROWS)}
    record = ProbeRecord(
        name=probe.name,
        version=probe.version,
        params=probe().params.model_dump(mode="json"),
        summary=probe.about.summary,
        paper=probe.about.paper,
        cannot_tell=probe.about.cannot_tell,
        cases=ROWS,
        available=ROWS,
        cases_digest="e" * 64,
        data=data,
    )
    made.write_manifest(manifest.model_copy(update={"probes": (record,)}))
    few = probe().measure(rows.head(1000))
    made.write_metrics([metric.model_copy(update={"n": ROWS}).with_prefix(probe.name) for metric in few])
    return folder


def _classified(random: np.random.Generator) -> dict[str, Any]:
    label = random.integers(0, 2, ROWS)
    likely = random.uniform(0.4, 1, ROWS)
    texts = np.array([f"[{one / 1000:.3f}, {1 - one / 1000:.3f}]" for one in range(1001)])
    first = np.where(label == 0, likely, 1 - likely)
    return {
        "label": label,
        "predicted": (first < 0.5).astype(np.int64),
        "probabilities": texts[np.round(1000 * first).astype(np.int64)],
        "nll": -np.log(likely),
        "truncated": 0,
    }


def _texts(random: np.random.Generator) -> dict[str, Any]:
    tokens = random.integers(20, 500, ROWS)
    return {
        "kind": "causal",
        "tokens": tokens,
        "words": tokens,
        "bytes": 5 * tokens,
        "nll": tokens * random.normal(3, 0.4, ROWS),
        "windows": 1,
    }


def _templates(random: np.random.Generator) -> dict[str, Any]:
    return {
        "axis": "gender",
        "template": [f"template {number // 10}" for number in range(ROWS)],
        "gap": random.beta(0.5, 9, ROWS),
        "max_gap": 0.5,
        "flip": random.random(ROWS) < 0.05,
        "variants": '[["a", "one", "x"], ["a", "two", "y"]]',
        "probabilities": "[[0.4, 0.6], [0.5, 0.5]]",
        "shift_index": 1,
        "shift_class": "positive",
    }


def _losses(random: np.random.Generator) -> dict[str, Any]:
    member = np.arange(ROWS) % 2 == 0
    return {
        "member": member,
        "label": 0,
        "loss": random.exponential(np.where(member, 0.9, 1.0)),
        "correct": random.random(ROWS) < 0.9,
        "truncated": 0,
        "log_odds": random.normal(np.where(member, 2.1, 2.0)),
        "fixing": ~member & (np.arange(ROWS) % 4 == 1),
        "blind": random.normal(size=ROWS),
        "blind_fold": random.integers(0, 5, ROWS),
        "ceilings": [[] for _ in range(ROWS)],
        "ceiling_curve": [[] for _ in range(ROWS)],
        **dict.fromkeys(
            ("scored", "zlib", "min_k", "min_k_pp", "base_loss", "calibrated", "neighbours", "claimed", "delta"), np.nan
        ),
    }


def _versions(random: np.random.Generator) -> dict[str, Any]:
    """Two versions of each text."""
    version = '{{"kind": "{}", "severity": 0.1, "predicted": {}, "changed": 1, "changeable": 2, "tokens": 5, {}}}'
    cells = [
        f"[{version.format('swap', a, more)}, {version.format('case', b, more)}]"
        for a in (0, 1)
        for b in (0, 1)
        for more in ('"unknown_tokens": 0',)
    ]
    return {
        "label": random.integers(0, 2, ROWS),
        "predicted": random.integers(0, 2, ROWS),
        "versions": np.array(cells)[random.integers(0, 4, ROWS)],
        "tokens": 4,
        "not_applicable": "{}",
        "words_cut": 0,
        "truncated": 0,
    }


KINDS: tuple[tuple[type[Probe[Any]], Columns, dict[str, list[str]]], ...] = (
    (
        Classification,
        _classified,
        {
            "a share, by flips": ["accuracy"],
            "a mean without bounds": ["nll"],
            "macro-F1": ["macro_f1"],
            "calibration error": ["ece"],
            "a bounded mean, measured": ["brier"],
            "all of a classifier": ["accuracy", "nll", "macro_f1", "ece", "brier", "truncated_rate"],
        },
    ),
    (Perplexity, _texts, {"a ratio of sums": ["token_perplexity"]}),
    (
        Counterfactual,
        _templates,
        {"a share over clusters": ["flip_rate"], "a mean over clusters": ["counterfactual_gap"]},
    ),
    (Membership, _losses, {"AUC, rates and gaps": ["auc", "tpr_at_fpr_1pct", "advantage", "accuracy_gap"]}),
    (Typos, _versions, {"a mean over versions": ["mean_accuracy"], "the worst of kinds": ["worst_kind_accuracy"]}),
)
