from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from dashboards.kinds import Column, Declaration
from dashboards.kinds.answers import AnswersGiven, _named, matrix
from dashboards.kinds.cells import HeatMap, labelled
from tests.dashboards.kinds.shown import audit_with, shown

LABEL, PREDICTED = np.random.default_rng(2).integers(0, 4, size=(2, 200))


def test_counts_are_those_of_scikit_learn(tmp_path: Path) -> None:
    rows = {"label": [*LABEL.tolist(), 0, None], "predicted": [*PREDICTED.tolist(), 0, 0]}
    rows["status"] = ["ok"] * 200 + ["error", "ok"]
    cells = matrix(shown(audit_with(tmp_path, "third/a", rows), "third/a").rows)
    counts = cells.pivot(index="down", columns="across", values="n").to_numpy()
    assert counts.tolist() == confusion_matrix(LABEL, PREDICTED).tolist()
    assert cells.groupby("down")["value"].sum().tolist() == pytest.approx([1.0] * 4)


def test_an_answer_never_given_was_counted_and_a_class_without_rows_has_no_line(tmp_path: Path) -> None:
    rows = {"label": ["a", "a", "b"], "predicted": ["a", "c", "a"]}
    cells = matrix(shown(audit_with(tmp_path, "third/a", rows), "third/a").rows)
    assert set(cells["down"]) == {"a", "b"}
    counts = {(line["down"], line["across"]): line["n"] for line in cells.to_dict("records")}
    assert counts == {("a", "a"): 1, ("a", "b"): 0, ("a", "c"): 1, ("b", "a"): 1, ("b", "b"): 0, ("b", "c"): 0}


def test_classes_below_zero_and_far_above_have_their_number_for_a_name(tmp_path: Path) -> None:
    rows: dict[str, list[Any]] = {"label": [-1, 0, 2**61, 1], "predicted": [0, 0, 1, -1], "confidence": [0.5] * 4}
    made = shown(audit_with(tmp_path, "third/a", rows), "third/a")
    named = _named(made, matrix(made.rows))
    assert set(named["down"]) == {"-1", "0", "1", str(2**61)}
    assert set(named["across"]) == {"-1", "0", "1", str(2**61)}


def test_a_hidden_label_has_one_number_on_both_axes(tmp_path: Path) -> None:
    names = [f"a name that is long enough to be a text, {letter}" for letter in "abc"]
    rows: dict[str, list[Any]] = {"label": [names[0], names[1], names[2]], "predicted": [names[1], names[1], names[0]]}
    made = shown(audit_with(tmp_path, "third/a", rows), "third/a")
    assert {"label", "predicted"} <= set(made.hidden)
    drawn = HeatMap("answers", "predicted", "label", ("answer given", "right answer"), "share", alike=True)
    told = labelled(made, drawn, matrix(made.rows))
    same = told[told["across_id"] == told["down_id"]]
    assert len(same) == 3
    assert [name.split()[-1] for name in same["across"]] == [name.split()[-1] for name in same["down"]]
    assert "long enough" not in told.to_csv()


@pytest.mark.parametrize(
    ("label", "predicted", "fits"),
    [
        ("int64", "int64", True),
        ("string", "string", True),
        ("int64", "list<int64>", False),
        ("double", "double", False),
    ],
)
def test_which_columns_it_fits(label: str, predicted: str, fits: bool) -> None:
    columns = {"label": Column("label", label), "predicted": Column("predicted", predicted)}
    assert AnswersGiven().fits(Declaration("s/p", columns)) is fits
