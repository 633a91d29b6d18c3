from __future__ import annotations

import numpy as np
import pytest
from pandera.typing import Series

from harness.api.columns import column, list_column, list_columns, meanings, rows_schema
from harness.api.lists import as_list, as_matrix, is_list
from harness.api.probe import ProbeRow


class Row(ProbeRow):
    seconds: Series[float] = column("how long it took", "seconds", ge=0, nullable=True)
    name: Series[str] = column("what it is called")
    votes: Series[object] = list_column("votes of each class", "votes", of="int64")
    table: Series[object] = list_column("a table", of="double", depth=2)
    bare: Series[int]


def test_what_columns_mean_is_read_from_the_row() -> None:
    found = meanings(Row)
    assert found["seconds"] == "how long it took (seconds)"
    assert found["name"] == "what it is called"
    assert "bare" not in found
    assert list_columns(Row) == {"votes": ("int64", 1), "table": ("double", 2)}


def test_the_schema_says_types_units_and_meanings() -> None:
    columns = {each["name"]: each for each in rows_schema(Row)["columns"]}
    assert list(columns)[:3] == ["case_id", "status", "error"]
    assert columns["seconds"] == {
        "name": "seconds",
        "type": "double",
        "unit": "seconds",
        "meaning": "how long it took",
        "nullable": True,
        "required": False,
        "absent": None,
    }
    assert [columns[name]["type"] for name in ("name", "votes", "table", "bare")] == [
        *("string", "list<int64>", "list<list<double>>", "int64"),
    ]


@pytest.mark.parametrize(("kind", "depth"), [("float", 1), ("double", 3)])
def test_other_lists_are_refused(kind: str, depth: int) -> None:
    with pytest.raises(ValueError, match="a list column holds"):
        list_column("x", of=kind, depth=depth)


def test_a_list_reads_the_same_from_json_text_and_from_arrow() -> None:
    wanted = [[0.25, 0.75], [1.0, 0.0]]
    arrow = np.empty(2, dtype=object)
    arrow[:] = [np.array(each) for each in wanted]
    for cell in (wanted, arrow, "[[0.25, 0.75], [1.0, 0.0]]", np.array(wanted)):
        assert as_list(cell) == wanted
        assert as_matrix(as_list(cell)).tolist() == wanted
    for nothing in (None, np.nan):
        assert as_list(nothing) == []
        assert not is_list(nothing)
