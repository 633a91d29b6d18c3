from __future__ import annotations

import math

import pytest

from dashboards.kinds.efficiency import work_table
from harness.record.folder import WorkRecord


def work(probe: str, tokens: int, seconds: float, model: str = "") -> WorkRecord:
    return WorkRecord(
        probe=probe,
        model=model,
        rows=10,
        tokens=tokens,
        padded_tokens=2 * tokens,
        batches=1,
        halvings=0,
        truncated_rows=0,
        reused=1,
        cached=2,
        seconds=seconds,
    )


def test_parts_of_a_resumed_audit_add_up() -> None:
    table = work_table([work("a/b", 100, 2.0), work("a/b", 300, 2.0), work("a/b", 5, 1.0, "reference")])
    own, reference = table.to_dict("records")
    assert (own["rows"], own["tokens"], own["spared"]) == (20, 400, 6)
    assert own["tokens_per_second"] == pytest.approx(100)
    assert own["padded"] == pytest.approx(2.0)
    assert (reference["model"], reference["tokens"]) == ("reference", 5)


def test_what_was_never_read_has_no_rate() -> None:
    (line,) = work_table([work("a/b", 0, 0.0)]).to_dict("records")
    assert math.isnan(line["tokens_per_second"])
    assert math.isnan(line["padded"])
    assert work_table([]).empty
