"""A heat map whose cells are chosen by click or by name, and the rows behind the chosen cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from dashboards.address import link
from dashboards.kinds.view import Shown
from dashboards.rows import PAGE
from dashboards.view_models.views import plain
from harness.base.colours import BLUE, GREY, PALE_BLUE, VERMILION, WHITE
from harness.base.language import _
from harness.base.numbers import number

_SIZE = 30
_BLUES = [PALE_BLUE, BLUE]
_ABOUT_MIDDLE = [BLUE, WHITE, VERMILION]
"""Light to dark, or through white where there is a middle; both told apart with any colour vision."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """What is drawn.

    Attributes:
        view: name of the view; the chosen cell stands in the address as `view.across` and `view.down`.
        across, down: columns of the two axes.
        titles: what the axes are called, across first.
        value: what a cell's colour is.
        middle: the value in the middle of the colours; None: they go from the least to the most.
        fewest: rows that a value should rest on; the outline of a cell with fewer is dashed.
        alike: whether both axes hold the same kind of value, so that hidden ones are numbered alike on both.
    """

    view: str
    across: str
    down: str
    titles: tuple[str, str]
    value: str
    middle: float | None = None
    fewest: int = 0
    alike: bool = False


def draw_cells(shown: Shown, drawn: HeatMap, cells: pd.DataFrame) -> tuple[Any, Any] | None:
    """Draw `cells` (columns `across`, `down`, `value`, `n`) and return the values of the one that is chosen.

    `of`, a column too, is how many rows a value rests on where that is not n. A link restores the choice; the address
    names values by a keyed digest, since they may be texts to hide.
    """
    told = labelled(shown, drawn, cells)
    keys = (f"{drawn.view}.across", f"{drawn.view}.down")
    scope = f"{drawn.view}-{shown.probe}-{drawn.across}-{drawn.down}"
    selects = [f"{scope}-{side}" for side in ("across", "down")]
    for side, key, select in zip(("across", "down"), keys, selects, strict=True):
        known = list(dict.fromkeys(told[f"{side}_id"]))
        if st.session_state.get(select) not in known:
            asked = shown.address.get(key)
            st.session_state[select] = asked if asked in known else None

    told["chosen"] = told["across_id"].eq(st.session_state[selects[0]]) & told["down_id"].eq(
        st.session_state[selects[1]]
    )

    def clicked() -> None:
        points = st.session_state[f"{scope}-map"]["selection"]["cell"]
        if points:
            for side, select in zip(("across", "down"), selects, strict=True):
                st.session_state[select] = points[0][f"{side}_id"]

    st.altair_chart(
        heat_map(told, drawn),
        width="stretch",
        on_select=clicked,
        key=f"{scope}-map",
        alt=plain(_("{value} by {across} and {down}", value=drawn.value, across=drawn.titles[0], down=drawn.titles[1])),
    )
    if told["few"].any():
        st.caption(_("Dashed outline: fewer than {fewest} rows.", fewest=drawn.fewest))
    for place, side, select, title in zip(st.columns(2), ("across", "down"), selects, drawn.titles, strict=True):
        names = dict(zip(told[f"{side}_id"], told[side], strict=True))
        place.selectbox(
            plain(title), list(names), format_func=names.__getitem__, key=select, placeholder=_("any: click a cell")
        )
    chosen = [st.session_state[select] for select in selects]
    _remember(shown, keys, chosen)
    hit = told[(told["across_id"] == chosen[0]) & (told["down_id"] == chosen[1])]
    return None if hit.empty else (cells.loc[hit.index[0], "across"], cells.loc[hit.index[0], "down"])


def labelled(shown: Shown, drawn: HeatMap, cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with the names of their values as they may be shown now, and digests to find them by."""
    names = {"across": shown.names(drawn.across, cells["across"]), "down": shown.names(drawn.down, cells["down"])}
    if drawn.alike and {drawn.across, drawn.down} & set(shown.hidden):
        names = _numbered_alike(cells, drawn)
    told = cells.assign(
        across_id=[shown.digest(value) for value in cells["across"]],
        down_id=[shown.digest(value) for value in cells["down"]],
        **names,
        shown=[number(value) for value in cells["value"]],
        few=cells["of" if "of" in cells else "n"] < drawn.fewest,
    )
    return pd.DataFrame(told)


def _numbered_alike(cells: pd.DataFrame, drawn: HeatMap) -> dict[str, pd.Series[str]]:
    """Numbers in place of the values of both axes, the same value by the same number."""
    order = {value: place for place, value in enumerate(dict.fromkeys([*cells["down"], *cells["across"]]), start=1)}
    columns = {"across": drawn.across, "down": drawn.down}
    return {side: cells[side].map(lambda value, of=of: f"{of} {order[value]}") for side, of in columns.items()}


def heat_map(told: pd.DataFrame, drawn: HeatMap) -> Any:
    """Of labelled cells (`chosen`: whether it is), with n in each tooltip."""
    scale = alt.Scale(range=_BLUES)
    if drawn.middle is not None:
        scale = alt.Scale(range=_ABOUT_MIDDLE, domainMid=drawn.middle)
    legend = alt.Legend(orient="top", titleLimit=0, gradientLength=160, tickCount=3)
    colour = alt.Color("value:Q", title=drawn.value, scale=scale, legend=legend)
    tooltip = [
        alt.Tooltip("across:N", title=drawn.titles[0]),
        alt.Tooltip("down:N", title=drawn.titles[1]),
        alt.Tooltip("shown:N", title=drawn.value),
        alt.Tooltip("n:Q"),
    ]
    few = alt.when("datum.chosen").then(alt.value(3)).when("datum.few").then(alt.value(1.5))
    cell = alt.selection_point(name="cell", fields=["across_id", "down_id"])
    axis = alt.Axis(labelLimit=180, labelOverlap=False)
    return (
        alt.Chart(told)
        .mark_rect()
        .encode(
            x=alt.X(
                "across:N",
                sort=None,
                title=drawn.titles[0],
                axis=alt.Axis(labelAngle=-40, labelLimit=140, labelOverlap=False),
            ),
            y=alt.Y("down:N", sort=None, title=drawn.titles[1], axis=axis),
            color=colour,
            stroke=alt.condition("datum.chosen", alt.value(VERMILION), alt.value(GREY)),
            strokeWidth=few.otherwise(alt.value(0.5)),
            strokeDash=alt.condition("datum.few", alt.value([3, 3]), alt.value([1, 0])),
            tooltip=tooltip,
        )
        .add_params(cell)
        .properties(height=alt.Step(_SIZE if told["down"].nunique() < 20 else 18))
    )


def draw_cases(shown: Shown, cases: Sequence[str], first: Iterable[str] = ()) -> None:
    """The rows of these cases, PAGE at most, texts hidden until asked for; each leads to itself in full.

    Columns `first` stand first, lists last.
    """
    st.caption(_("Rows behind this cell: {n}", n=f"{len(cases):,}"))
    found = shown.rows.cases(list(cases[:PAGE]))
    if len(cases) > PAGE:
        st.caption(_("The first {n} of them:", n=PAGE))
    audit = shown.audit.manifest.audit_id
    found = shown.masked(found).drop(columns=["status", "error"], errors="ignore")
    way = "row" if "row" not in found else "row in full"  # columns are named by whoever made the probe
    found.insert(0, way, [link("rows", audit=audit, probe=shown.probe, case=case) for case in found["case_id"]])
    front = [way, *(column for column in first if column in found)]
    lists = [name for name, column in shown.declared.columns.items() if column.type.startswith("list")]
    others = [str(column) for column in found if column not in (*front, "case_id", *lists)]
    config = {way: st.column_config.LinkColumn(_("in full"), display_text=_("open"))}
    st.dataframe(
        found,
        hide_index=True,
        column_order=[*front, *others, *lists],
        column_config=config,
        placeholder="missing",
        alt=plain(_("Rows of {probe}", probe=shown.probe)),
    )


def _remember(shown: Shown, keys: Sequence[str], chosen: Sequence[str | None]) -> None:
    for key, value in zip(keys, chosen, strict=True):
        if value is None:
            shown.address.pop(key, None)
        else:
            shown.address[key] = value
