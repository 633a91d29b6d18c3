"""A metric on each slice that the audit measured, with n; slices too small to read are masked."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboards.charts import opening
from dashboards.kinds.view import Declaration, Shown, View
from dashboards.view_models.views import plain
from dashboards.whiskers import Dot, Line, axis_of, whiskers_html
from harness.api.metrics import Metric
from harness.base.colours import BLUE, ORANGE
from harness.base.language import _
from harness.base.numbers import interval, number
from harness.reports.content.recorded import retold

FEWEST = 30
"""Independent observations below which a slice is masked: a share's 95 % interval is then up to 37 points wide."""
_CONTROLS = ("control", "control_low", "control_high", "control_shown")
_COLUMNS = ["slice", "value", "low", "high", "n", "shown", "drawn", "masked", "interval", "open", *_CONTROLS]
_MEASURED, _CONTROL = BLUE, ORANGE


def slice_table(metrics: Iterable[Metric], key: str, fewest: int = FEWEST) -> pd.DataFrame:
    """One line per slice of the metric `key` (last part), all rows first where they have a value; columns _COLUMNS.

    A slice of fewer than `fewest` independent observations keeps its n alone; `shown` says so, `drawn` in the chart.
    A control is measured on rows of its own, stands beside the slice that has one, and is masked as a slice is.
    """
    mine = [metric for metric in metrics if metric.key.rpartition("/")[2] == key]
    return pd.DataFrame([_line(metric, fewest) for metric in mine], columns=_COLUMNS)


def sliced_keys(declared: Declaration) -> list[str]:
    """Metrics that the audit has on slices."""
    return [measure.key for measure in declared.measures if measure.sliced]


class Slices(View):
    """One metric by slice, with its interval, n, and the control's value."""

    name = "slices"
    place = 20

    @property
    def title(self) -> str:
        """What readers choose it by."""
        return _("Slices")

    def fits(self, declared: Declaration) -> bool:
        """Where a metric was measured on slices."""
        return bool(sliced_keys(declared))

    def draw(self, shown: Shown) -> None:
        """The chart, and the same as a table."""
        keys = sliced_keys(shown.declared)
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        asked = shown.address.get("slices.metric")
        index = keys.index(asked) if asked in keys else 0
        key = str(left.selectbox(_("Metric"), keys, index=index, key=f"slices-{shown.probe}"))
        shown.address["slices.metric"] = key
        draw_slices(slice_table(shown.metrics, key, ask_fewest(shown, right)), key)


def ask_fewest(shown: Shown, place: Any) -> int:
    """The n below which a slice is masked, asked at a `place` of the page; all views keep it in the same address."""
    given = shown.address.get("slices.fewest", "")
    value = max(1, int(given)) if given.isdecimal() and len(given) < 10 else FEWEST
    fewest = int(place.number_input(_("Mask under n"), min_value=1, value=value, key="slices-fewest"))
    shown.address["slices.fewest"] = str(fewest)
    return fewest


def draw_slices(table: pd.DataFrame, title: str) -> None:
    """Dot and whisker per slice, beside it the control's as a ring; then the numbers."""
    if (table["value"].notna() | table["masked"]).any():
        st.html(slice_chart(table, title))
        if table["control"].notna().any():
            st.caption(_("Dot: the slice. Ring: its control, where nothing should be found. Lines: 95 % intervals."))
    columns = ["slice", "shown", "interval", "n"]
    said = table[columns].assign(control=table["control_shown"])
    said = said if any(table["control_shown"]) else said.drop(columns="control")
    named = {"slice": _("slice"), "shown": _("value"), "interval": _("interval"), "control": _("control")}
    st.dataframe(said.rename(columns=named), hide_index=True, alt=plain(_("{metric} by slice", metric=title)))


def slice_chart(table: pd.DataFrame, title: str) -> str:
    """HTML: a line per slice; one that is masked says so in words, in its own line."""
    lines = [_drawn(each) for each in table[table["value"].notna() | table["masked"]].to_dict("records")]
    return whiskers_html(lines, axis_of(title, lines), label=_("{metric} by slice", metric=title))


def _drawn(each: Mapping[Hashable, Any]) -> Line:
    n = " ".join((_("n"), str(each["n"])))
    if each["masked"]:
        return Line(each["slice"], each["drawn"], (), more=n)
    dot = Dot(each["value"], _MEASURED, "circle", each["low"], each["high"], each["open"])
    return Line(each["slice"], f"{each['shown']} {each['interval']}".strip(), (*_controls(each), dot), more=n)


def _controls(line: Mapping[Hashable, Any]) -> list[Dot]:
    if pd.isna(line["control"]):
        return []
    return [Dot(line["control"], _CONTROL, "below", line["control_low"], line["control_high"])]


def _line(metric: Metric, fewest: int) -> dict[str, Any]:
    line: dict[str, Any] = dict.fromkeys(_COLUMNS) | {"slice": metric.slice or _("all rows"), "n": metric.n}
    line |= {"masked": False, "control_shown": ""}
    too_few = _("masked: n is under {fewest}", fewest=fewest)
    if metric.value is None:
        return line | {"shown": _("missing: {why}", why=retold(metric.note)), "interval": ""}
    if metric.n < fewest and metric.slice:
        drawn = _("▨ masked: n = {n} is under {fewest}", n=metric.n, fewest=fewest)
        return line | {"shown": too_few, "drawn": drawn, "interval": "", "masked": True}
    value = metric.value
    low, high = (value if end is None else end for end in (metric.low, metric.high))
    line |= {"value": value, "low": low, "high": high, "shown": number(value)}
    line["open"] = opening(metric.low, metric.high)
    line["interval"] = interval(metric.low, metric.high)
    control = metric.control
    if control is not None and control.value is not None and control.n < fewest and metric.slice:
        line["control_shown"] = too_few
    elif control is not None and control.value is not None:
        ends = (control.value if end is None else end for end in (control.low, control.high))
        line |= dict(zip(_CONTROLS[:3], (control.value, *ends), strict=True))
        line["control_shown"] = f"{number(control.value)} {interval(line['control_low'], line['control_high'])}"
    return line
