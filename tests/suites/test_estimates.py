from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.metrics import Better
from harness.stats import bootstrap, wilson
from suites.estimates import all_missing, estimate, mean, ratio, share, usable


def test_usable_rows_are_told_from_missing_ones() -> None:
    good, missing = usable(pd.DataFrame({"status": ["ok", "error", "ok"], "x": [1, None, 3]}))
    assert (list(good["x"]), missing) == ([1, 3], 1)


def test_all_missing_says_why_and_how_many() -> None:
    metrics = all_missing({"a": Better.LOWER, "b": Better.TARGET}, "nothing ran", 7)
    assert [(m.key, m.value, m.n, m.missing, m.note, m.better) for m in metrics] == [
        ("a", None, 0, 7, "nothing ran", Better.LOWER),
        ("b", None, 0, 7, "nothing ran", Better.TARGET),
    ]


def test_a_share_has_the_wilson_interval() -> None:
    metric = share("hits", 3, 10, better=Better.HIGHER, missing=2)
    expected = wilson(3, 10)
    assert (metric.value, metric.low, metric.high, metric.n, metric.missing) == (
        0.3,
        expected.low,
        expected.high,
        10,
        2,
    )
    assert (metric.interval, metric.unit) == ("Wilson", "rate")


def test_an_estimate_is_the_statistic_of_every_row_once() -> None:
    values = np.random.default_rng(1).normal(size=40)
    metric = estimate("m", mean(values), 40, better=Better.LOWER)
    expected = bootstrap(mean(values), 40)
    assert expected is not None
    assert metric.value == pytest.approx(values.mean(), abs=1e-12)
    assert (metric.low, metric.high, metric.n) == (expected.low, expected.high, 40)
    assert metric.interval == "bootstrap, percentile, 2000 draws"


def test_clusters_are_what_is_counted_and_drawn() -> None:
    values, clusters = np.repeat([0.0, 1.0, 5.0], 50), np.repeat(["a", "b", "c"], 50)
    alone = estimate("m", mean(values), 150, better=Better.LOWER)
    clustered = estimate("m", mean(values), 150, better=Better.LOWER, clusters=clusters)
    assert (clustered.n, clustered.value) == (3, alone.value)
    assert clustered.low is not None
    assert clustered.low == 0.0  # all three draws were cluster a
    assert alone.low is not None
    assert alone.low > 1.0


def test_one_observation_has_a_value_but_no_interval() -> None:
    metric = estimate("m", mean([2.0]), 1, better=Better.LOWER, note="careful")
    assert (metric.value, metric.low, metric.high, metric.n) == (2.0, None, None, 1)
    assert metric.note.startswith("careful; no interval: 1 independent")


def test_a_value_that_is_not_finite_is_missing() -> None:
    metric = estimate("m", lambda w: np.exp(w @ [1e4]), 1, better=Better.LOWER, missing=3, unit="x", slice="s")
    assert (metric.value, metric.n, metric.missing, metric.unit, metric.slice) == (None, 0, 3, "x", "s")
    assert "inf" in metric.note


def test_a_ratio_is_of_sums_not_a_mean_of_ratios() -> None:
    statistic = ratio([1.0, 9.0], [1.0, 3.0])
    assert statistic(np.array([[1.0, 1.0], [2.0, 0.0]])).tolist() == [2.5, 1.0]
