from __future__ import annotations

import re

import pandas as pd
import pytest

from dashboards.kinds import Declaration, Measure
from dashboards.kinds.slices import FEWEST, slice_chart, slice_table, sliced_keys
from harness.api.metrics import Better, Control, Metric, missing_metric

CONTROL = Control(what="weekdays", value=0.1, low=0.05, high=0.2, n=50)


def metric(part: str, value: float, n: int, **fields: object) -> Metric:
    return Metric(key="s/p/rate", value=value, n=n, better=Better.LOWER, slice=part).model_copy(update=fields)


METRICS = [
    metric("", 0.5, 20, low=0.4, high=0.6, control=CONTROL),
    metric("a", 0.25, FEWEST, low=0.1),
    metric("b", 0.75, FEWEST - 1, low=0.6, high=0.9),
    missing_metric("s/p/rate", "no rows", better=Better.LOWER).model_copy(update={"slice": "c"}),
    metric("a", 1.0, 99).model_copy(update={"key": "s/p/other"}),
]


def test_a_small_slice_keeps_its_n_alone() -> None:
    table = slice_table(METRICS, "rate").set_index("slice")
    assert list(table.index) == ["all rows", "a", "b", "c"]
    assert table["value"].tolist()[:2] == [0.5, 0.25]
    assert table["value"].isna().tolist() == [False, False, True, True]
    assert list(table["n"]) == [20, 30, 29, 0]  # all rows are never masked
    assert table.loc["b", "shown"] == "masked: n is under 30"
    assert table.loc["c", "shown"] == "missing: no rows"
    assert table.loc["b", ["low", "high"]].isna().all()
    assert table.loc["b", "interval"] == ""


def test_a_smaller_bound_shows_it_and_a_missing_end_is_no_interval() -> None:
    table = slice_table(METRICS, "rate", fewest=1).set_index("slice")
    assert table.loc["b", "shown"] == "0.7500"
    assert table.loc["a", "interval"] == "at least 0.1000"
    assert table.loc["a", "high"] == 0.25
    assert table.loc[["a", "b"], "open"].tolist() == ["→", ""]
    assert re.findall(r'class="open"[^>]*>(.)<', slice_chart(table.reset_index(), "rate")) == ["→"]


def test_the_control_stands_beside_its_slice() -> None:
    table = slice_table(METRICS, "rate")
    assert table[["control", "control_low", "control_high"]].iloc[0].tolist() == [0.1, 0.05, 0.2]
    assert table["control"].notna().sum() == 1
    drawn = slice_chart(table, "rate")
    assert re.findall("<p><span>(.*?)<", drawn) == ["all rows", "a"]
    assert [drawn.count('class="below"'), drawn.count('class="dot circle"')] == [1, 2]


@pytest.mark.parametrize("sliced", [True, False])
def test_it_fits_what_has_slices(sliced: bool) -> None:
    measures = (Measure("rate", "rate", Better.LOWER, sliced=sliced),)
    assert sliced_keys(Declaration("s/p", {}, measures)) == ["rate"] * sliced


def test_nothing_measured_is_an_empty_table() -> None:
    assert isinstance(slice_table([], "rate"), pd.DataFrame)
    assert slice_table([], "rate").empty
