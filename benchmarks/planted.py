"""What a training keeps of canaries planted in it: without privacy, and at epsilon 8 and 1.

A small GPT, trained from scratch on one part of the news and fine-tuned on another with canaries; the MiniLM encoder on
SST-2 with mislabelled records. Settings were chosen without looking at any canary: passes enough for a model without
privacy to learn its records, and the defaults of private training. Ours is each training's number, the peer that of the
one without privacy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.data import SCRATCH, news, sst2
from benchmarks.dp_sst2 import MINILM
from benchmarks.report import Cell
from harness.api.metrics import Metric
from harness.audit.plan import make_plan
from harness.audit.run import run_audit, start_audit
from harness.audit.spec import AuditSpec
from harness.checkpoint import Permissions
from harness.errors import AuditError
from privacy.training import TrainSpec, train

PEERS = ("opacus", "dp-accounting")
EPSILONS = (None, 8, 1)
FOLDER = SCRATCH / "planted"
_NEWS_TOKENS = 64
_NON_MEMBERS = 3000
"""A rate at 1 % false positives needs 2,000: half of them fix the threshold, the other half are held against it."""
_GPT_CANARIES = (
    {"kind": "random-tokens", "count": 200, "tokens": 12},
    {"kind": "secret", "count": 20, "pattern": "####", "repetitions": [1, 4, 16]},
)
_METRICS = {
    "gpt": (
        "memorization/exposure/exposure",
        "memorization/exposure/found_share",
        "memorization/epsilon_audit/epsilon_lower",
        "memorization/epsilon_audit/guesses_right",
        "memorization/extraction/extracted_share",
        "memorization/membership/auc",
        "memorization/membership/tpr_at_fpr_1pct",
        "quality/perplexity/token_perplexity",
    ),
    "bert": (
        "memorization/epsilon_audit/epsilon_lower",
        "memorization/epsilon_audit/guesses_right",
        "memorization/membership/auc",
        "memorization/membership/tpr_at_fpr_1pct",
        "quality/classification/accuracy",
    ),
}


def run() -> list[Cell]:
    """Every metric of each training beside the one without privacy."""
    cells: list[Cell] = []
    for kind in ("gpt", "bert"):
        found = {epsilon: _audited(kind, epsilon) for epsilon in EPSILONS}
        for epsilon, metrics in found.items():
            cells += [cell for name in _METRICS[kind] for cell in _cells(kind, name, epsilon, metrics, found[None])]
    return cells


def trained(kind: str, epsilon: int | None) -> TrainSpec:
    """The training, done now unless it is there already."""
    spec = TrainSpec.model_validate(_gpt(epsilon) if kind == "gpt" else _bert(epsilon))
    train(spec, if_missing=True)
    return spec


def _audited(kind: str, epsilon: int | None) -> dict[tuple[str, str], Metric]:
    spec = trained(kind, epsilon)
    probes: list[dict[str, Any]] = [
        {"name": "memorization/epsilon_audit"},
        {"name": "memorization/membership", "params": {"members": 600, "non_members": _NON_MEMBERS}},
    ]
    if kind == "gpt":
        probes += [
            {"name": "memorization/exposure"},
            {
                "name": "memorization/extraction",
                "params": {"prefix_tokens": 16, "suffix_tokens": 16, "window_chars": 260, "per_side": 300},
            },
            {"name": "quality/perplexity", "data": {"texts": _news(5600, 6200)}},
        ]
    else:
        probes += [{"name": "quality/classification", "data": {"examples": {"source": str(sst2("dev"))}}}]
    audit = AuditSpec.model_validate(
        {
            "name": f"{kind} {_shown(epsilon)}",
            "checkpoint": str(spec.output),
            "probes": probes,
            "device": "cpu",
            "dtype": "fp32",
            "tracking": {"uri": "off"},
            "output": FOLDER / "audits",
            **({"models": {"base": str(base_gpt())}} if kind == "gpt" else {}),
        }
    )
    plan = make_plan(audit, permissions=Permissions(manifest_sources=True))
    folder = start_audit(plan, ["make", "bench", "NAME=planted"])
    run_audit(plan, folder)
    return {(metric.key, metric.slice): metric for metric in folder.metrics()}


def _cells(
    kind: str, name: str, epsilon: int | None, metrics: dict[tuple[str, str], Metric], without: dict[Any, Metric]
) -> list[Cell]:
    cells = []
    for (key, part), metric in sorted(metrics.items()):
        before = without.get((key, part))
        if key != name or metric.value is None or before is None or before.value is None:
            continue
        if before.value == 0 != metric.value:
            raise AuditError(f"{key}: more under privacy than 0 without it has no ratio; look at {FOLDER / 'audits'}")
        extra = {
            "value": round(metric.value, 5),
            "interval": [None if end is None else round(end, 5) for end in (metric.low, metric.high)],
            "method": metric.interval,
            "n": metric.n,
            "missing": metric.missing,
            "note": metric.note,
            "alarm": metric.alarm is not None,
        }
        case = f"{kind}, {_shown(epsilon)}: {key.partition('/')[2]}{f' of {part}' if part else ''}"
        cells.append(Cell(case, metric.value, before.value, extra=extra))
    return cells


def _shown(epsilon: int | None) -> str:
    return "without privacy" if epsilon is None else f"epsilon {epsilon}"


def base_gpt() -> Path:
    """A GPT of a million weights that has read other news."""
    spec = TrainSpec.model_validate(
        {
            "fresh": {"kind": "gpt", "layers": 3, "hidden": 128, "heads": 4, "vocabulary": 4000, "max_tokens": 64},
            "task": "causal_lm",
            "data": _news(0, 5000),
            "epochs": 3,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "max_tokens": _NEWS_TOKENS,
            "output": FOLDER / "gpt-base",
        }
    )
    train(spec, if_missing=True)
    return spec.output


def _gpt(epsilon: int | None) -> dict[str, Any]:
    return {
        "base": str(base_gpt()),
        "task": "causal_lm",
        "data": _news(5000, 5600),
        "held_out": _news(5600, 5600 + _NON_MEMBERS),
        "epochs": 15,
        "max_tokens": _NEWS_TOKENS,
        "canaries": {"canaries": _GPT_CANARIES},
        "output": FOLDER / f"gpt-{epsilon or 'plain'}",
        **({"batch_size": 32, "learning_rate": 1e-3} if epsilon is None else {"privacy": {"epsilon": epsilon}}),
    }


def _bert(epsilon: int | None) -> dict[str, Any]:
    return {
        "base": MINILM,
        "task": "classification",
        "label_names": ("negative", "positive"),
        "data": _sst2(0, 600),
        "held_out": _sst2(2400, 2400 + _NON_MEMBERS),
        "epochs": 6,
        "max_tokens": 48,
        "canaries": {"canaries": ({"kind": "mislabelled", "count": 300, "data": _sst2(1200, 2400)},)},
        "output": FOLDER / f"bert-{epsilon or 'plain'}",
        **({"batch_size": 32, "learning_rate": 1e-4} if epsilon is None else {"privacy": {"epsilon": epsilon}}),
    }


def _news(start: int, stop: int) -> dict[str, Any]:
    return {"source": str(news()), "distinct": "text", "shuffle": 1, "start": start, "stop": stop}


def _sst2(start: int, stop: int) -> dict[str, Any]:
    return {"source": str(sst2("train")), "distinct": "text", "shuffle": 1, "start": start, "stop": stop}


def as_table(cells: list[Cell]) -> str:
    """A Markdown table, a row per metric and a column per training; for the docs."""
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        training, _, metric = cell.case.partition(": ")
        kind, _, shown = training.partition(", ")
        low, high = cell.extra["interval"]
        ends = "" if low is None or low == high else f" [{low:.3g}, {high:.3g}]"
        rows.setdefault(f"{kind}: {metric}", {})[shown] = f"{cell.extra['value']:.3g}{ends}"
    return str(pd.DataFrame.from_dict(rows, orient="index").to_markdown())
