"""Rows of the three kinds, as a probe makes them."""

from __future__ import annotations

import pytest

from harness.api.case import Case
from harness.api.probe import error_row, excluded_row, ok_row

CASE = Case("one", {"text": "a"})


def test_a_row_of_each_kind() -> None:
    assert ok_row(CASE, score=0.5) == {"case_id": "one", "status": "ok", "error": None, "score": 0.5}
    assert error_row(CASE, "broke", ["score"]) == {
        "case_id": "one", "status": "error", "error": "broke", "score": None
    }  # fmt: skip
    assert excluded_row(CASE, "no word") == {"case_id": "one", "status": "excluded", "error": "no word"}


def test_what_is_measured_decides_neither_case_nor_status() -> None:
    assert ok_row(CASE, **{"status": "error", "case_id": "two", "error": "x", "case": 1}) == {
        **ok_row(CASE), "case": 1
    }  # fmt: skip
    with pytest.raises(TypeError, match="multiple values for keyword argument 'score'"):
        ok_row(CASE, **{"score": 1}, **{"score": 2})
