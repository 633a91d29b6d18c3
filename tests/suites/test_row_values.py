"""What probes say each row adds to a metric adds up to the metric that they measure."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.metrics import Metric
from harness.probe import Probe
from harness.registry import find_probes
from suites.bias.counterfactual import Counterfactual
from suites.quality.classification import Classification
from suites.quality.perplexity import Perplexity

RNG = np.random.default_rng(0)
N = 40


def common(n: int = N) -> dict[str, Any]:
    return {"case_id": [f"case {at}" for at in range(n)], "status": "ok", "error": None}


def classification() -> pd.DataFrame:
    columns = {"label": RNG.integers(0, 2, N), "predicted": RNG.integers(0, 2, N), "truncated": RNG.integers(0, 2, N)}
    return pd.DataFrame({**common(), **columns, "nll": RNG.random(N), "probabilities": json.dumps([0.4, 0.6])})


def perplexity(kind: str) -> pd.DataFrame:
    columns = {name: RNG.integers(1, 50, N) for name in ("tokens", "words", "bytes", "windows")}
    return pd.DataFrame({**common(), **columns, "kind": kind, "nll": 50 * RNG.random(N)})


def counterfactual() -> pd.DataFrame:
    columns = {
        "axis": np.where(np.arange(N) % 3 == 0, "gender", "religion"),
        "template": [f"template {at // 4}" for at in range(N)],
        "gap": RNG.random(N),
        "max_gap": RNG.random(N),
        "flip": RNG.random(N) < 0.3,
        "variants": json.dumps([["a", "one", "x"], ["a", "two", "y"]]),
        "probabilities": json.dumps([[0.4, 0.6], [0.5, 0.5]]),
        "shift_index": 1,
        "shift_class": "positive",
    }
    return pd.DataFrame({**common(), **columns})


CASES: dict[str, tuple[Probe[Any], pd.DataFrame]] = {
    "classification": (Classification(), classification()),
    "causal": (Perplexity(), perplexity("causal")),
    "masked": (Perplexity(), perplexity("masked")),
    "counterfactual": (Counterfactual(), counterfactual()),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("failed", [0, 3])
def test_rows_add_up_to_the_metric(name: str, failed: int) -> None:
    probe, rows = CASES[name]
    rows = rows.astype(object) if failed else rows
    if failed:
        rows.loc[: failed - 1, [column for column in rows if column not in ("case_id", "status")]] = None
        rows.loc[: failed - 1, "status"] = "error"
    some = 0
    for metric in probe.measure(rows):
        value = total(probe, rows[["case_id", "status", *probe.value_columns]], metric, failed)
        if value is not None:
            assert value == pytest.approx(metric.value), metric.key
            some += 1
    assert some >= 2


def total(probe: Probe[Any], rows: pd.DataFrame, metric: Metric, failed: int) -> float | None:
    found = probe.row_values(rows, metric.key, metric.slice)
    if found is None:
        return None
    above = np.asarray(found.above, dtype=np.float64)
    below = np.ones(len(above)) if found.below is None else np.asarray(found.below, dtype=np.float64)
    assert np.isnan(above).sum() == failed
    good = np.isfinite(above)
    value = np.array([above[good].sum() / below[good].sum()])
    return float((value if found.finish is None else found.finish(value))[0])


@pytest.mark.parametrize("name", ["no_such_metric", "ece", "max_gap"])
def test_other_metrics_have_no_row_values(name: str) -> None:
    assert all(probe.row_values(rows, name, "") is None for probe, rows in CASES.values())


def test_shares_are_metrics_and_value_columns_are_columns() -> None:
    for probe_class in find_probes().probes.values():
        columns = probe_class.Row.to_schema().columns
        assert set(probe_class.value_columns) <= set(columns)
        keys = {metric.key for metric in probe_class().measure(pd.DataFrame(columns=list(columns)))}
        assert not probe_class.shares or probe_class.shares & keys, probe_class.name
