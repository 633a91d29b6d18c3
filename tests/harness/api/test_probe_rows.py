"""Rows of each status: whose they are and what came of the case stands in all of them."""

from __future__ import annotations

import pytest

from harness.api.case import Case
from harness.api.probe import RowDict, error_row, excluded_row, ok_row

CASE = Case("a", {"text": "x"})


@pytest.mark.parametrize(
    ("row", "status", "error"),
    [
        (ok_row(CASE, score=1.5, case="column of this name"), "ok", None),
        (error_row(CASE, "broke", ["score"]), "error", "broke"),
        (excluded_row(CASE, "no word of it", ["score"]), "excluded", "no word of it"),
    ],
)
def test_a_row_says_whose_it_is_and_what_came_of_it(row: RowDict, status: str, error: str | None) -> None:
    assert (row["case_id"], row["status"], row["error"]) == ("a", status, error)
    assert row["score"] == (1.5 if status == "ok" else None)


def test_measured_columns_change_neither() -> None:
    row = ok_row(CASE, **{"case_id": "b", "status": "error", "error": "x", "class": 2})
    assert row == {"case_id": "a", "status": "ok", "error": None, "class": 2}
