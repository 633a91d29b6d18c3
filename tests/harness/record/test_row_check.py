"""The check at once against pandera: the same table or the same refusal, whatever the values."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandera.typing import Series

from harness.api.columns import column, list_column
from harness.api.probe import ProbeRow
from harness.api.registry import find_probes
from harness.errors import AuditError
from harness.record.row_check import RowCheck


class Everything(ProbeRow):
    whole: Series[int] = column("a count", ge=0, le=100)
    maybe: Series[pd.Int64Dtype] = column("a count, where known", ge=0, nullable=True)
    score: Series[float] = column("a share", gt=-1, lt=2)
    bound: Series[float] = column("a bound, where known", ge=0, nullable=True)
    won: Series[bool] = column("whether it did")
    size: Series[int] = column("how large the case is", ge=0, of_case=True)
    kind: Series[str] = column("its kind", isin=["a", "b"], of_case=True)
    note: Series[str] = column("a note", nullable=True)
    votes: Series[object] = list_column("votes", of="int64")
    table: Series[object] = list_column("shares", of="double", depth=2, nullable=True)


class Kind(enum.StrEnum):
    A = "a"


GOOD: dict[str, Any] = {
    "status": "ok", "error": None, "whole": 1, "maybe": None, "score": 0.5, "bound": 0.25, "won": True,
    "size": 2,
    "kind": "a", "note": "x", "votes": [1, 2], "table": [[0.5], [1.0, 0.0]],
}  # fmt: skip
ODD: dict[str, list[Any]] = {
    "status": ["error", "excluded", "other", None],
    "error": ["why", None, 3, float("nan")],
    "whole": [0, 100, -1, 101, 1.0, 1.5, None, True, "7", "x", np.int64(3), 2**70],
    "maybe": [0, 3, None, 2.0, 2.5, -1, float("nan"), pd.NA, "4"],
    "score": [0, 1, np.float32(0.5), float("nan"), None, 2.0, -1.0, float("inf"), "0.5", True],
    "bound": [None, float("nan"), 0, -0.1, float("inf"), 2**60],
    "won": [False, np.bool_(True), None, 1, 0.0, "yes"],
    "size": [0, -1, None, "x", 2.5],
    "kind": ["b", "c", Kind.A, None, 3, ""],
    "note": [None, float("nan"), "", 3, "\ud800", b"x"],
    "votes": [[], (1, 2), np.array([1, 2]), [None], [1.5], "[1]", None, 3, [[1]]],
    "table": [None, [], [[]], [[1]], [[float("nan")]], [0.5], float("nan"), "[[1]]"],
}


def outcome(check: RowCheck, rows: list[dict[str, Any]], *, at_once: bool) -> tuple[str, Any]:
    """What a check makes of the rows, with the way of pandera alone for comparison."""
    if not at_once:
        check._columns = None
    try:
        return "table", check.table(rows)
    except AuditError as error:
        return "refused", str(error)
    except Exception as error:
        return "crashed", type(error).__name__


CHECKS = [RowCheck("suite/probe", Everything) for _ in range(2)]
CHECKS[0].table([])
CHECKS[1].table([])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_at_once_agrees_with_pandera(data: st.DataObject) -> None:
    rows = []
    for case in range(data.draw(st.integers(1, 3))):
        odd = data.draw(st.lists(st.sampled_from(sorted(ODD)), max_size=2, unique=True))
        rows.append({"case_id": f"{case}", **GOOD, **{name: data.draw(st.sampled_from(ODD[name])) for name in odd}})
    if len(rows) > 1 and data.draw(st.integers(0, 9)) == 0:
        rows[1]["case_id"] = rows[0]["case_id"]
    want, theirs = outcome(CHECKS[1], rows, at_once=False)
    got, ours = outcome(CHECKS[0], rows, at_once=True)
    made = CHECKS[0]._at_once(rows)
    if made is not None:
        assert want == "table", theirs
        assert made.schema.equals(theirs.schema, check_metadata=True)
    assert got == want
    assert ours.to_pylist().__repr__() == theirs.to_pylist().__repr__() if got == "table" else ours == theirs


def test_what_is_plainly_right_needs_no_pandera(monkeypatch: pytest.MonkeyPatch) -> None:
    check = RowCheck("suite/probe", Everything)
    check.table([])
    monkeypatch.setattr(pa.DataFrameSchema, "validate", None)
    rows = [{"case_id": "1", **GOOD}, {"case_id": "2", "status": "error", "error": "why", "score": 9.0}]
    assert check.table(rows).to_pylist()[1] == {
        **dict.fromkeys(GOOD), "case_id": "2", "status": "error", "error": "why"
    }  # fmt: skip


def test_every_probe_can_be_checked_at_once() -> None:
    for probe in find_probes().probes.values():
        check = RowCheck(probe.name, probe.Row)
        assert check.table([{"case_id": "1", "status": "error", "error": "why"}]).num_rows == 1
        assert check._columns is not None, probe.name


def test_a_check_of_the_probes_own_is_panderas() -> None:
    class Own(ProbeRow):
        score: Series[float]

        @pa.check("score")
        @classmethod
        def even(cls, values: Series[float]) -> Series[bool]:
            return values % 2 == 0  # type: ignore[return-value]

    check = RowCheck("suite/probe", Own)
    assert check.table([{"case_id": "1", "status": "ok", "error": None, "score": 2.0}]).num_rows == 1
    with pytest.raises(AuditError, match=r"column 'score', rule 'even', value '3\.0'"):
        check.table([{"case_id": "1", "status": "ok", "error": None, "score": 3.0}])


def test_a_column_that_the_schema_does_not_have_is_refused() -> None:
    with pytest.raises(AuditError, match=r"suite/probe: .*column 'scroe', rule 'column_in_schema'"):
        RowCheck("suite/probe", Everything).table([{"case_id": "1", **GOOD, "scroe": 1}])
