from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.api.estimates import UNIT, estimate, share, usable
from harness.api.means import ratio_interval
from harness.api.metrics import Better, RowValues
from harness.stats.intervals import clopper_pearson


def test_usable_rows_are_told_from_missing_ones() -> None:
    good, missing = usable(pd.DataFrame({"status": ["ok", "error", "ok", "excluded"], "x": [1, None, 3, None]}))
    assert (list(good["x"]), missing) == ([1, 3], 1)


def test_a_share_has_the_exact_interval() -> None:
    metric = share("hits", 3, 10, better=Better.HIGHER, missing=2)
    expected = clopper_pearson(3, 10)
    assert (metric.value, metric.low, metric.high, metric.n, metric.missing) == (
        0.3,
        expected.low,
        expected.high,
        10,
        2,
    )
    assert (metric.interval, metric.unit) == ("Clopper-Pearson", "rate")


def test_an_estimate_is_the_mean_with_the_interval_of_its_units() -> None:
    drawn = np.random.default_rng(1).random(size=40)
    values = RowValues(drawn, bounds=UNIT)
    metric = estimate("m", values, better=Better.LOWER)
    expected = ratio_interval(np.stack([drawn, np.ones(40)], axis=1), values)
    assert expected is not None
    assert metric.value == pytest.approx(drawn.mean(), abs=1e-12)
    assert (metric.low, metric.high, metric.n) == (expected.low, expected.high, 40)
    assert metric.interval == "Gaffke bound, 10000 draws"


def test_clusters_are_what_is_counted_and_drawn() -> None:
    values, clusters = np.repeat([0.0, 0.2, 1.0], 50), np.repeat(["a", "b", "c"], 50)
    alone = estimate("m", RowValues(values, bounds=UNIT), better=Better.LOWER)
    clustered = estimate("m", RowValues(values, clusters=clusters, bounds=UNIT), better=Better.LOWER)
    assert clustered.n == 3
    assert clustered.value == pytest.approx(alone.value)
    assert (clustered.low or 0) < 0.05 < 0.3 < (alone.low or 0)
    assert clustered.interval == "Gaffke bound, clusters, 10000 draws"


def test_values_without_bounds_need_enough_of_them() -> None:
    few, many = (RowValues(np.random.default_rng(2).normal(size=n)) for n in (182, 183))
    metric = estimate("m", few, better=Better.LOWER, note="careful")
    assert (metric.low, metric.high, metric.n) == (None, None, 182)
    assert metric.note == (
        "careful; no interval: 182 independent observations are too few, 183 could have shown a rare outlier"
    )
    metric = estimate("m", many, better=Better.LOWER)
    assert metric.low is not None
    assert metric.high is not None


def test_a_value_that_is_not_finite_is_missing() -> None:
    values = RowValues([1e4], finish=np.exp)
    metric = estimate("m", values, better=Better.LOWER, missing=3, unit="x", slice="s")
    assert (metric.value, metric.n, metric.missing, metric.unit, metric.slice) == (None, 0, 3, "x", "s")
    assert "inf" in metric.note


def test_a_ratio_is_of_sums_not_a_mean_of_ratios() -> None:
    assert estimate("m", RowValues([1.0, 9.0], [1.0, 3.0]), better=Better.LOWER).value == 2.5
