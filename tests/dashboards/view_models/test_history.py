from __future__ import annotations

import re

import pytest

from dashboards.view_models.history import SIGNS, history_html, margin
from harness.gate.decide import GateResult, Outcome, Verdict
from harness.gate.policy import Gate
from harness.gate.verdict import Comparison


def result(low: float | None, high: float | None, **rule: object) -> GateResult:
    gate = Gate.model_validate({"id": "g", "metric": "suite/probe/metric", **rule})
    return GateResult(gate=gate, outcome=Outcome.PASS, reason="", low=low, high=high)


def verdict(*results: GateResult, outcome: Outcome = Outcome.PASS) -> Verdict:
    return Verdict(outcome=outcome, reason="", gates=results)


@pytest.mark.parametrize(
    ("low", "high", "rule", "expected"),
    [
        (0.8, 0.9, {"min": 0.7}, 1.0),  # an interval's width above its bound
        (0.7, 0.9, {"min": 0.7}, 0.0),
        (0.6, 0.8, {"min": 0.7}, -0.5),
        (0.5, 0.7, {"min": 0.7}, -1.0),  # all of it is below
        (0.1, 0.2, {"max": 0.3}, 1.0),
        (0.3, 0.5, {"max": 0.3}, -1.0),
        (0.4, 0.5, {"within": (0.3, 0.7)}, 1.0),  # the nearer of two bounds
        (0.5, 0.5, {"min": 0.7}, None),
        (None, None, {"min": 0.7}, None),
    ],
)
def test_a_margin_is_counted_in_widths_of_the_interval(
    low: float | None, high: float | None, rule: dict[str, object], expected: float | None
) -> None:
    found = margin(verdict(result(low, high, **rule)))
    assert found == (None if expected is None else pytest.approx(expected))


def test_the_gate_that_is_worst_off_counts_and_a_comparison_by_its_own_interval() -> None:
    far, near = result(0.8, 0.9, min=0.7), result(0.72, 0.92, min=0.7)
    assert margin(verdict(far, near)) == pytest.approx(0.1)
    compared = result(0.8, 0.9, baseline={"max_regression": 0.05}).model_copy(
        update={"comparison": Comparison(metric="suite/probe/metric", low=0.0, high=0.1)}
    )
    assert margin(verdict(far, compared)) == pytest.approx(-0.5)
    assert margin(verdict()) is None


def places(html: str) -> list[tuple[int, int, str]]:
    found = re.findall(r'<span style="position:absolute;left:(\d+)px;top:(\d+)px[^>]*>(.)</span>', html)
    return [(int(left), int(top), sign) for left, top, sign in found]


def test_the_drawing_says_the_outcome_by_sign_and_how_clearly_by_height() -> None:
    clear = verdict(result(0.9, 1.0, min=0.1))
    close = verdict(result(0.7, 0.9, min=0.7))
    blocked = verdict(result(0.1, 0.2, min=0.7), outcome=Outcome.BLOCK)
    html = history_html([clear, close, blocked], label='history <b>"')
    (first, second, third) = places(html)
    assert [first[2], second[2], third[2]] == ["✔", "✔", "✖"]
    assert first[0] < second[0] < third[0]
    assert first[1] < second[1] < third[1]
    assert "<b>" not in html


def test_without_a_margin_a_verdict_stands_where_its_outcome_does() -> None:
    tops = [places(history_html([verdict(outcome=outcome)], label=""))[0][1] for outcome in SIGNS]
    passed, blocked, undecided = tops
    assert passed < undecided < blocked
