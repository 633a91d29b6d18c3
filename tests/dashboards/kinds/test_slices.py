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
    assert re.findall("<p><span>(.*?)<", drawn) == ["all rows", "a", "b"]
    assert [drawn.count('class="below"'), drawn.count('class="dot circle"')] == [1, 2]


def test_a_masked_slice_says_so_in_words_in_its_line_of_the_chart() -> None:
    drawn = slice_chart(slice_table(METRICS, "rate"), "rate")
    words = "▨ masked: n = 29 is under 30"
    assert re.findall("<p><span>(.*?)</span><span>(.*?)<", drawn)[2] == ("b", words)
    assert drawn.split(words)[1].count('class="dot') == 0


def test_a_control_over_few_is_masked_as_a_slice_is() -> None:
    few = CONTROL.model_copy(update={"n": FEWEST - 1})
    metrics = [metric("", 0.5, 20, control=few), metric("a", 0.25, FEWEST, control=few)]
    table = slice_table(metrics, "rate").set_index("slice")
    assert table.loc["a", ["control", "control_low", "control_high"]].isna().all()
    assert table.loc["a", "control_shown"] == "masked: n is under 30"
    assert table.loc["all rows", "control"] == 0.1  # all rows are never masked
    assert table.loc["all rows", "control_shown"] == "0.1000 [0.0500, 0.2000]"


@pytest.mark.parametrize("sliced", [True, False])
def test_it_fits_what_has_slices(sliced: bool) -> None:
    measures = (Measure("rate", "rate", Better.LOWER, sliced=sliced),)
    assert sliced_keys(Declaration("s/p", {}, measures)) == ["rate"] * sliced


def test_nothing_measured_is_an_empty_table() -> None:
    assert isinstance(slice_table([], "rate"), pd.DataFrame)
    assert slice_table([], "rate").empty
