"""What probes say each row adds to a metric adds up to the metric that they measure."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.metrics import Metric
from harness.api.probe import Probe
from harness.api.registry import find_probes
from harness.baseline.pairs import Rule, compare_values, pair
from suites.adversarial.typos.probe import Typos
from suites.bias.counterfactual import Counterfactual
from suites.bias.crows_pairs import CrowsPairs
from suites.memorization.extraction.probe import Extraction
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
        "predicted": json.dumps([1, 0]),
        "shift_index": 1,
        "shift_class": "positive",
    }
    return pd.DataFrame({**common(), **columns})


def crows(kind: str) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "role": "scored",
        "family": "",
        "kind": kind,
        "bias_type": np.where(np.arange(N) % 3 == 0, "gender", "age"),
        "direction": np.where(np.arange(N) % 4 == 0, "antistereo", "stereo"),
        **{f"{one}_{side}": RNG.integers(-3, 3, N) / 1000 for one in ("first", "second") for side in ("more", "less")},
    }
    return pd.DataFrame({**common(), **columns})


def extraction(windows: int) -> pd.DataFrame:
    columns = {
        "side": np.where(np.arange(N) % 3 == 0, "control", "texts"),
        "document": np.arange(N) // windows,
        "exact": RNG.random(N) < 0.4,
        "matched": RNG.integers(0, 50, N),
        "edit": RNG.random(N) / 5,
        "bleu": RNG.random(N),
        "chance": RNG.random(N) / 50,
        "sampled": pd.array(RNG.integers(0, 3, N), dtype="Int64"),
        "bucket": np.where(np.arange(N) % 3 == 0, "", np.where(np.arange(N) % 4 == 0, "1 copy", "8+ copies")),
    }
    return pd.DataFrame({**common(), **columns})


def typos() -> pd.DataFrame:
    """Of every fifth text one kind cannot change it."""
    versions = [
        [
            {
                "kind": kind,
                "severity": severity,
                "predicted": int(RNG.integers(0, 2)),
                **{"changed": 1, "changeable": 2, "tokens": 5, "unknown_tokens": 0},
            }
            for kind in ("swap", "case")
            if at % 5 or kind == "case"
            for severity in (0.05, 0.4)
        ]
        for at in range(N)
    ]
    columns: dict[str, Any] = {
        "label": RNG.integers(0, 2, N),
        "predicted": RNG.integers(0, 2, N),
        "versions": [json.dumps(each) for each in versions],
        "tokens": 4,
        "not_applicable": "{}",
        **{"words_cut": 0, "truncated": 0},
    }
    columns["label"][:30] = columns["predicted"][:30]
    return pd.DataFrame({**common(), **columns})


CASES: dict[str, tuple[Probe[Any], pd.DataFrame]] = {
    "classification": (Classification(), classification()),
    "causal": (Perplexity(), perplexity("causal")),
    "masked": (Perplexity(), perplexity("masked")),
    "counterfactual": (Counterfactual(), counterfactual()),
    "crows masked": (CrowsPairs(), crows("masked")),
    "crows causal": (CrowsPairs(), crows("causal")),
    "extraction": (Extraction(), extraction(1)),
    "extraction of related windows": (Extraction(), extraction(4)),
    "typos": (Typos(), typos()),
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
        value = total(probe, rows[[*probe.value_columns([metric.key])]], metric, failed)
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


FLIPS = "exact on flips, McNemar at 0"
DRAWN = "paired Gaffke bound, 300 draws"
CLUSTERS = "paired Gaffke bound, clusters, 300 draws"
COMPARED = {
    ("classification", "accuracy", ""): (FLIPS, N),
    ("classification", "nll", ""): ("", 0),  # nats have no bounds, and 40 pairs do not show rare ones
    ("counterfactual", "flip_rate", ""): (CLUSTERS, N // 4),  # templates
    ("crows masked", "stereotype_share", ""): (DRAWN, N),  # better nearer to a half, so no pair is worse by itself
    ("crows masked", "stereotype_share", "gender"): (DRAWN, 14),
    ("crows causal", "mean_abs_difference", ""): ("", 0),
    ("extraction", "extracted_share", ""): (FLIPS, 26),
    ("extraction", "matched_tokens", ""): (DRAWN, 26),
    ("extraction of related windows", "extracted_share", ""): (CLUSTERS, 10),  # documents
    ("extraction of related windows", "control_matched_tokens", ""): (CLUSTERS, 10),
    ("typos", "clean_accuracy", ""): (FLIPS, N),
    ("typos", "robust_accuracy", ""): (FLIPS, N),
    ("typos", "mean_accuracy", ""): (DRAWN, N),
    ("typos", "flip_rate", "swap"): (DRAWN, 32),
    ("typos", "accuracy", "swap: 0.4"): (FLIPS, 32),
}
"""Test and independent units of a comparison."""


@pytest.mark.parametrize("wanted", COMPARED, ids=" ".join)
def test_two_audits_are_compared_as_the_metric_allows(wanted: tuple[str, str, str]) -> None:
    """The other audit's rows are the same ones with the measured columns moved on by one row."""
    name, key, part = wanted
    probe, rows = CASES[name]
    fixed = {"case_id", "status", "error", "kind", "axis", "template", "bias_type", "direction", "side", "document"}
    moved = [column for column in rows if column not in fixed]
    other = rows.copy()
    for column in moved:
        other[column] = np.roll(rows[column], 5)
    (ours, theirs), (metric, before) = (
        [probe.row_values(each, key, part) for each in (rows, other)],
        [next(m for m in probe.measure(each) if (m.key, m.slice) == (key, part)) for each in (rows, other)],
    )
    assert ours is not None
    assert theirs is not None
    found = compare_values(metric, pair(rows, other), ours, theirs, Rule(0.0, 0.95, "auto", 300))
    assert (found.test, found.n) == COMPARED[wanted]
    assert found.candidate == pytest.approx(metric.value)
    assert found.baseline == pytest.approx(before.value)
    if not found.n:
        assert "too few, or too much alike, to bound the difference" in found.note
        return
    assert found.low is not None
    assert found.high is not None
    assert found.regression is not None
    assert found.low <= found.regression <= found.high


@pytest.mark.parametrize("name", ["no_such_metric", "ece", "max_gap"])
def test_other_metrics_have_no_row_values(name: str) -> None:
    assert all(probe.row_values(rows, name, "") is None for probe, rows in CASES.values())


def test_columns_that_values_are_made_of_are_columns() -> None:
    for probe_class in find_probes().probes.values():
        columns, probe = probe_class.Row.to_schema().columns, probe_class()
        assert set(probe.value_columns(probe.named())) <= set(columns), probe.name
