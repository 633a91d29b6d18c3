"""What was answered against what is right: a matrix of classes or choices, and the rows behind each cell."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboards.kinds.cells import HeatMap, draw_cases, draw_cells
from dashboards.kinds.slices import FEWEST
from dashboards.kinds.view import Declaration, Shown, View
from dashboards.rows import CHOICES, RowFilter, Rows
from dashboards.view_models.views import plain
from harness.base.language import _

RIGHT, GIVEN = "label", "predicted"


def matrix(rows: Rows) -> pd.DataFrame:
    """How often each answer was given where each is right: `down` (right), `across` (given), `n`, `value`, `of`.

    `value` is the share of the rows, `of` in all, of which `down` is right. An answer that was never given has n 0: it
    was counted.
    """
    found = rows.ask(
        f"SELECT {RIGHT} AS down, {GIVEN} AS across, count(*) AS n FROM {{rows}} "
        f"WHERE status = 'ok' AND {RIGHT} IS NOT NULL AND {GIVEN} IS NOT NULL GROUP BY ALL ORDER BY down, across"
    )
    known = sorted({*found["down"], *found["across"]})
    every = pd.MultiIndex.from_product([sorted(set(found["down"])), known], names=["down", "across"])
    counted = found.set_index(["down", "across"]).reindex(every, fill_value=0).reset_index()
    lines = counted.groupby("down")["n"].transform("sum")
    return counted.assign(value=counted["n"] / lines, of=lines)


class AnswersGiven(View):
    """The confusion matrix."""

    name = "answers"
    place = 25

    @property
    def title(self) -> str:
        """What readers choose it by."""
        return _("Answers")

    def fits(self, declared: Declaration) -> bool:
        """Where rows have the right answer and the one given, both numbers of a class or both names."""
        return any(declared.has(RIGHT, kind) and declared.has(GIVEN, kind) for kind in ("int64", "string"))

    def draw(self, shown: Shown) -> None:
        """The matrix, then the rows of the chosen cell."""
        for column in (RIGHT, GIVEN):
            if shown.rows.choices(column) is None:
                said = _("{column} has more than {n} values: too many for a matrix.", column=column, n=CHOICES)
                st.info(plain(said))
                return
        cells = matrix(shown.rows)
        if cells.empty:
            st.info(_("No row has both an answer and a right answer."))
            return
        named = _named(shown, cells)
        n, right = int(cells["n"].sum()), int(cells.loc[cells["down"] == cells["across"], "n"].sum())
        st.caption(plain(_("n = {n}, of which {right} are right", n=f"{n:,}", right=f"{right:,}")))
        titles = (_("answer given"), _("right answer"))
        drawn = HeatMap(self.name, GIVEN, RIGHT, titles, _("share of the line"), fewest=FEWEST, alike=True)
        chosen = draw_cells(shown, drawn, named)
        if chosen is None:
            st.caption(_("Click a cell, or choose one by name, to see the rows behind it."))
            return
        hit = cells[(named["across"] == chosen[0]) & (named["down"] == chosen[1])].iloc[0]
        wanted = RowFilter(status="ok", values={GIVEN: [_value(hit["across"])], RIGHT: [_value(hit["down"])]})
        cases = shown.rows.read(["case_id"], wanted)["case_id"]
        draw_cases(shown, list(cases))


def _named(shown: Shown, cells: pd.DataFrame) -> pd.DataFrame:
    """Classes by the checkpoint's names for them, where rows number classes; choices by their number, from 1."""
    labels = shown.audit.manifest.checkpoint.labels
    if not shown.declared.has(RIGHT, "int64"):
        return cells
    known = {int(index) for index in (*cells["down"], *cells["across"])}
    classes = shown.declared.has("probabilities") or shown.declared.has("confidence")
    named = classes and known <= set(range(len(labels)))
    names = {index: f"{index} {labels[index]}" if named else str(index) for index in known}
    return cells.assign(across=cells["across"].map(names), down=cells["down"].map(names))


def _value(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
