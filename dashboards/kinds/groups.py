"""Gaps between groups: a metric by group, its control beside it, and group against template down to the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from pandas.api.types import is_numeric_dtype

from dashboards.kinds.cells import HeatMap, draw_cases, draw_cells
from dashboards.kinds.slices import ask_fewest, draw_slices, slice_table
from dashboards.kinds.view import Declaration, Measure, Shown, View
from dashboards.rows import SHORT
from dashboards.view_models.views import plain
from harness.base.language import _
from harness.base.plugins import PluginError, guarded
from harness.errors import AssayError

MOST_ROWS = 200_000
"""Rows up to which each is asked what it adds to the metric: a second, where a million would take five."""
DOWN = 40
"""Lines of a heat map: more are no picture; the farthest from the whole are shown."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A metric by two columns of the rows: a slice's across, the related rows' or another slice's down."""

    measure: Measure
    across: str
    down: str

    @property
    def name(self) -> str:
        """In the choice of crossings."""
        return f"{self.across} × {self.down}"


def crossings(declared: Declaration) -> list[Crossing]:
    """What can be crossed: metrics that are sums over rows, by a slice's column and a second one."""
    found = []
    for measure in declared.measures if declared.installed is not None else ():
        across = [column for column in measure.by if declared.has(column)]
        beside = [column for column in (measure.clusters, *across) if declared.has(column)]
        pairs = dict.fromkeys((one, two) for one in across[:1] for two in beside if one != two)
        found += [Crossing(measure, *pair) for pair in pairs] if measure.adds else []
    return found


def cell_values(crossing: Crossing, frame: pd.DataFrame, adds: Any) -> pd.DataFrame:
    """The metric on each cell that holds a row that counts: columns `across`, `down`, `value`, `n`.

    `frame`: the two columns, [rows]; `adds`: `RowValues` of the metric over these rows.
    """
    above = np.asarray(adds.above, dtype=np.float64)
    below = np.ones(len(above)) if adds.below is None else np.asarray(adds.below, dtype=np.float64)
    counts = np.isfinite(above) & np.isfinite(below) & (below > 0)
    table = pd.DataFrame(
        {
            "across": frame[crossing.across],
            "down": frame[crossing.down],
            "above": above,
            "below": below,
            "n": 1,
        }
    )[counts]
    summed = table.groupby(["across", "down"], as_index=False, sort=True)[["above", "below", "n"]].sum()
    value = (summed["above"] / summed["below"]).to_numpy(dtype=np.float64)
    summed["value"] = value if adds.finish is None else adds.finish(value)
    return summed[["across", "down", "value", "n"]]


def farthest(cells: pd.DataFrame, most: int = DOWN) -> tuple[pd.DataFrame, int]:
    """Cells of the `most` lines whose mean is farthest from the mean of all, and how many lines there are."""
    means = cells.groupby("down")["value"].mean()
    kept = (means - cells["value"].mean()).abs().sort_values(ascending=False).index[:most]
    return cells[cells["down"].isin(kept)].reset_index(drop=True), len(means)


class Groups(View):
    """Effect by group, and the heat map."""

    name = "groups"
    place = 10

    @property
    def title(self) -> str:
        """What readers choose it by."""
        return _("Groups")

    def fits(self, declared: Declaration) -> bool:
        """Where a metric's slices can be crossed with a second column."""
        return any(crossing.measure.sliced for crossing in crossings(declared))

    def draw(self, shown: Shown) -> None:
        """The effects with their controls, then the map, then the rows of the chosen cell."""
        crossing = _choose(shown)
        measure = crossing.measure
        fewest = ask_fewest(shown, st)
        draw_slices(slice_table(shown.metrics, measure.key, fewest), measure.key)
        if shown.rows.total > MOST_ROWS:
            st.info(_("More than {n} rows are not crossed here.", n=f"{MOST_ROWS:,}"))
            return
        cells, frame = _kept_cells(shown.key, crossing.name, measure.key, shown, crossing)
        if cells.empty:
            st.info(_("No row counts for this metric."))
            return
        drawn, lines = farthest(cells)
        if lines > DOWN:
            said = _(
                "{n} of {all} values of {column}, those farthest from the mean", n=DOWN, all=lines, column=crossing.down
            )
            st.caption(plain(said))
        titles = (crossing.across, crossing.down)
        columns = (crossing.across, crossing.down)
        chosen = draw_cells(shown, HeatMap(self.name, *columns, titles, measure.key, measure.target, fewest), drawn)
        if chosen is None:
            st.caption(_("Click a cell, or choose one by name, to see the rows behind it."))
            return
        behind = frame[(frame[crossing.across] == chosen[0]) & (frame[crossing.down] == chosen[1])]
        draw_cases(shown, list(behind["case_id"]), [crossing.across, crossing.down, *measure_columns(shown, measure)])


def measure_columns(shown: Shown, measure: Measure) -> list[str]:
    """Columns that the metric is made of, those that every probe has left out."""
    probe = shown.declared.installed
    try:
        columns = () if probe is None else guarded(lambda: probe.value_columns([measure.key]))
    except PluginError:
        return []
    return [column for column in columns if column not in SHORT]


def _choose(shown: Shown) -> Crossing:
    """Metric and second column, the address following."""
    known = [crossing for crossing in crossings(shown.declared) if crossing.measure.sliced]
    keys = list(dict.fromkeys(crossing.measure.key for crossing in known))
    left, right = st.columns(2)
    asked = shown.address.get("groups.metric")
    index = keys.index(asked) if asked in keys else 0
    key = str(left.selectbox(_("Metric"), keys, index=index, key=f"groups-metric-{shown.probe}"))
    mine = {crossing.name: crossing for crossing in known if crossing.measure.key == key}
    asked = shown.address.get("groups.by")
    index = list(mine).index(asked) if asked in mine else 0
    by = str(right.selectbox(_("By"), list(mine), index=index, key=f"groups-by-{shown.probe}-{key}"))
    shown.address["groups.metric"], shown.address["groups.by"] = key, by
    return mine[by]


@st.cache_data(max_entries=16, show_spinner=False)
def _kept_cells(
    key: object, by: str, metric: str, _shown: Shown, _crossing: Crossing
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells, and the rows' two columns with their cases, those that add most first.

    Raises AssayError where the probe cannot read the rows.
    """
    probe = _shown.declared.installed
    assert probe is not None
    axes = [_crossing.across, _crossing.down]
    try:
        columns = guarded(lambda: probe.value_columns([metric]))
        frame = _shown.rows.read([*columns, *axes])
        adds = guarded(lambda: probe.row_values(frame, metric, ""))
    except PluginError as error:
        raise AssayError(f"{_shown.probe}: what each row adds to {metric} cannot be told: {error}") from error
    if adds is None:
        raise AssayError(f"{_shown.probe}: {metric} is no sum over rows")
    # a row without a value has a cell too, as one with an empty one
    told = frame[["case_id", *axes]].fillna({axis: "" for axis in axes if not is_numeric_dtype(frame[axis])})
    cells = cell_values(_crossing, told, adds)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.asarray(adds.above, dtype=np.float64) / (1.0 if adds.below is None else np.asarray(adds.below))
    return cells, told.assign(adds=each).sort_values("adds", ascending=False, kind="stable")
