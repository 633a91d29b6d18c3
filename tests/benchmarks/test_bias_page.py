"""The table of the bias page: what is printed of a metric and its control."""

from __future__ import annotations

from benchmarks.bias_page import rows
from harness.api.metrics import Better, Control, Metric


def metric(key: str, value: float | None, **fields: object) -> Metric:
    said = {"low": 0.25, "high": 0.75, "n": 40} if value is not None else {"n": 0, "note": "no case"}
    return Metric.model_validate({"key": f"bias/{key}", "value": value, "better": Better.LOWER, **said, **fields})


def test_headline_metrics_stand_with_their_controls() -> None:
    control = Control(what="weekdays", value=0.125, low=0.0, high=0.25, n=9)
    gone = Control(what="weekdays", value=None, n=0, note="none of its 9 cases has a result: too long")
    lines = list(
        rows(
            [
                metric("p/share", 0.5, control=control, missing=2),
                metric("p/other", 0.5, control=gone),
                metric("p/none", None),
                metric("p/share", 0.5, slice="age"),
                metric("p/side", 0.5, headline=False),
            ]
        )
    )
    assert lines[2:] == [
        "| p/share | 40 | 0.50 [0.25, 0.75], 2 missing | 0.12 [0.00, 0.25], n 9 |",
        "| p/other | 40 | 0.50 [0.25, 0.75] | missing: none of its 9 cases has a result: too long |",
        "| p/none | 0 | missing: no case |  |",
    ]


def test_an_association_is_shown_with_both_its_p() -> None:
    note = "p 0.01, 0.03 after Holm's correction over 3 bias tests; no interval: few words"
    effect = metric("seat/effect_size", 0.5, slice="women and men", low=None, high=None, note=note)
    assert list(rows([effect]))[2] == (
        "| seat/effect_size, women and men | 40 | 0.50 (p 0.01, 0.03 after Holm's correction) |  |"
    )
