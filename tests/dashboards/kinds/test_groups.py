"""Cells of a heat map against sums by hand, on rows that probes measure and on those they leave out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboards.kinds.cells import HeatMap, draw_cases, heat_map, labelled
from dashboards.kinds.groups import Groups, _kept_cells, cell_values, crossings, farthest
from harness.api.metrics import RowValues
from harness.api.registry import find_probes
from tests.dashboards.kinds.shown import audit_with, declared, shown
from tests.dashboards.kinds.third import ROWS, Gap


def test_a_cell_is_the_metric_over_its_rows(tmp_path: Path) -> None:
    said = declared(audit_with(tmp_path, "third/gap", ROWS, Gap), "third/gap", Gap)
    (crossing,) = crossings(said)
    assert (crossing.across, crossing.down, crossing.name) == ("axis", "template", "axis × template")
    frame = pd.DataFrame({"axis": ["a", "a", "b", "b", "b"], "template": ["x", "x", "x", "y", "y"]})
    adds = RowValues(np.array([1.0, 2.0, 4.0, np.nan, 7.0]), np.array([1.0, 3.0, 2.0, 1.0, 0.0]))
    cells = cell_values(crossing, frame, adds)
    assert cells.to_dict("records") == [
        {"across": "a", "down": "x", "value": 0.75, "n": 2},
        {"across": "b", "down": "x", "value": 2.0, "n": 1},
    ]
    finished = cell_values(crossing, frame, RowValues(np.zeros(5), finish=np.exp))
    assert finished["value"].tolist() == [1.0, 1.0, 1.0]


def test_without_its_plugin_nothing_says_what_a_row_adds(tmp_path: Path) -> None:
    folder = audit_with(tmp_path, "third/gap", ROWS, Gap)
    assert Groups().fits(declared(folder, "third/gap", Gap))
    assert not Groups().fits(declared(folder, "third/gap"))


def test_a_row_without_a_value_has_a_cell_whose_rows_are_found(tmp_path: Path) -> None:
    rows = {**ROWS, "template": [None, "your secret", "", "x"]}
    made = shown(audit_with(tmp_path, "third/gap", rows, Gap, []), "third/gap", Gap)
    (crossing,) = crossings(made.declared)
    cells, frame = _kept_cells(("a", tmp_path.name), crossing.name, "gap", made, crossing)
    assert int(cells["n"].sum()) == 4
    for line in cells.to_dict("records"):
        behind = frame[(frame["axis"] == line["across"]) & (frame["template"] == line["down"])]
        assert len(behind) == line["n"]


def test_a_column_of_any_name_leads_to_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[pd.DataFrame] = []
    monkeypatch.setattr("dashboards.kinds.cells.st.dataframe", lambda frame, **_more: drawn.append(frame))
    folder = audit_with(tmp_path, "third/gap", {**ROWS, "row": [1, 2, 3, 4]}, Gap, [])
    draw_cases(shown(folder, "third/gap", Gap), ["case-1"])
    (frame,) = drawn
    assert frame["row"].tolist() == [2]
    assert "case=case-1" in frame["row in full"].iloc[0]


def test_a_cell_of_few_rows_is_marked_by_its_outline_not_by_its_colour_alone(tmp_path: Path) -> None:
    made = shown(audit_with(tmp_path, "third/gap", ROWS, Gap), "third/gap", Gap)
    cells = pd.DataFrame({"across": ["a", "b"], "down": ["x", "x"], "value": [0.1, 0.2], "n": [30, 29]})
    drawn = HeatMap("groups", "axis", "template", ("axis", "template"), "gap", fewest=30)
    told = labelled(made, drawn, cells)
    assert told["few"].tolist() == [False, True]
    assert labelled(made, drawn, cells.assign(of=[29, 30]))["few"].tolist() == [True, False]
    dash = heat_map(told.assign(chosen=False), drawn).to_dict()["encoding"]["strokeDash"]
    assert dash["condition"] == {"test": "datum.few", "value": [3, 3]}


def test_lines_far_from_the_mean_are_kept() -> None:
    cells = pd.DataFrame({"across": "a", "down": list("wxyz"), "value": [0.0, 0.5, 0.5, 1.2], "n": 1})
    kept, lines = farthest(cells, 2)
    assert list(kept["down"]) == ["w", "z"]
    assert lines == 4


def test_hidden_texts_stand_neither_in_the_picture_nor_in_an_address(tmp_path: Path) -> None:
    folder = audit_with(tmp_path, "third/gap", ROWS, Gap)
    cells = pd.DataFrame({"across": ["a", "b"], "down": ["my secret", "x"], "value": [0.1, 0.2], "n": [1, 1]})
    drawn = HeatMap("groups", "axis", "template", ("axis", "template"), "gap", 0.0)
    made = shown(folder, "third/gap", Gap)
    told = labelled(made, drawn, cells)
    assert "secret" not in told.to_csv()
    assert "secret" not in str(heat_map(told.assign(chosen=False), drawn).to_dict())
    assert told["down_id"].tolist() == [made.digest("my secret"), made.digest("x")]
    assert made.digest("x") != shown(folder, "third/gap", Gap).digest("x")  # another key: nobody finds it by guessing
    assert "secret" in labelled(shown(folder, "third/gap", Gap, readable=True), drawn, cells).to_csv()


@pytest.mark.parametrize(
    ("probe", "crossed"),
    [
        ("bias/counterfactual", "axis × template"),
        ("bias/crows_pairs", "bias_type × direction"),
        ("bias/winobias", "group × unit"),
        ("bias/honest", "category × identity"),
        ("bias/bbq", "category × answers"),
    ],
)
def test_the_bias_probes_of_assay_can_be_crossed(tmp_path: Path, probe: str, crossed: str) -> None:
    installed = find_probes().probes[probe]
    names = [name for name in installed.Row.to_schema().columns if name not in ("case_id", "status", "error")]
    folder = audit_with(tmp_path, probe, {name: ["x"] for name in names}, installed, [])
    assert crossed in {crossing.name for crossing in crossings(declared(folder, probe, installed))}
