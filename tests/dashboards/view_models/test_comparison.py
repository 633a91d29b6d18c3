from __future__ import annotations

from typing import Any

from dashboards.view_models.comparison import BETTER, NOT_COMPARED, UNCLEAR, WORSE, chart_frame, flipped, found, table
from harness.gate.verdict import Comparison, Flips


def compared(metric: str, low: float | None, high: float | None, **fields: Any) -> Comparison:
    regression = None if low is None or high is None else (low + high) / 2
    return Comparison(metric=metric, regression=regression, low=low, high=high, n=10, **fields)


def test_an_interval_on_one_side_of_nothing_proves_something() -> None:
    assert found(compared("a", 0.01, 0.2)) == WORSE
    assert found(compared("a", -0.2, -0.01)) == BETTER
    assert found(compared("a", -0.1, 0.1)) == UNCLEAR
    assert found(compared("a", 0.0, 0.1)) == UNCLEAR
    assert found(compared("a", None, None)) == NOT_COMPARED


def test_what_is_proven_worse_stands_first_and_missing_is_no_zero() -> None:
    lines = table([compared("same", -0.1, 0.1), compared("none", None, None, note="why"), compared("bad", 0.1, 0.3)])
    assert list(lines["metric"]) == ["bad", "same", "none"]
    assert lines["worse by"].iloc[2] == "missing"
    assert lines["note"].iloc[2] == "why"
    assert list(chart_frame([compared("none", None, None), compared("bad", 0.1, 0.3)])["metric"]) == ["bad"]


def test_only_metrics_of_which_cases_flipped() -> None:
    flips = [Flips(worse=0, better=0), Flips(worse=1, better=0, worse_ids=("a",)), None]
    assert [each.metric for each in flipped(compared(str(at), 0, 1, flips=it) for at, it in enumerate(flips))] == ["1"]
