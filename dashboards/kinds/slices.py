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
from harness.base.language import _, told
from harness.base.numbers import interval, number

FEWEST = 30
"""Independent observations below which a slice is masked: a share's 95 % interval is then up to 37 points wide."""
_COLUMNS = ["slice", "value", "low", "high", "n", "shown", "interval", "open", "control", "control_low", "control_high"]
_MEASURED, _CONTROL = "#0072B2", "#E69F00"


def slice_table(metrics: Iterable[Metric], key: str, fewest: int = FEWEST) -> pd.DataFrame:
    """One line per slice of the metric `key` (last part), all rows first where they have a value; columns _COLUMNS.

    A slice of fewer than `fewest` independent observations keeps its n alone; `shown` says so. A control is measured
    on rows of its own and stands beside the slice that has one.
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
    if table["value"].notna().any():
        st.html(slice_chart(table, title))
        if table["control"].notna().any():
            st.caption(_("Dot: the slice. Ring: its control, where nothing should be found. Lines: 95 % intervals."))
    columns = ["slice", "shown", "interval", "n"]
    controls = [_control(line) for line in table.to_dict("records")]
    said = table[columns].assign(control=controls)
    said = said if any(controls) else said.drop(columns="control")
    named = {"slice": _("slice"), "shown": _("value"), "interval": _("interval"), "control": _("control")}
    st.dataframe(said.rename(columns=named), hide_index=True, alt=plain(_("{metric} by slice", metric=title)))


def slice_chart(table: pd.DataFrame, title: str) -> str:
    """HTML: a line per slice; masked ones are left out, the table has them."""
    drawn = table[table["value"].notna()]
    lines = [
        Line(
            each["slice"],
            f"{each['shown']} {each['interval']}".strip(),
            (*_controls(each), Dot(each["value"], _MEASURED, "circle", each["low"], each["high"], each["open"])),
            more=" ".join((_("n"), str(each["n"]))),
        )
        for each in drawn.to_dict("records")
    ]
    return whiskers_html(lines, axis_of(title, lines), label=_("{metric} by slice", metric=title))


def _controls(line: Mapping[Hashable, Any]) -> list[Dot]:
    if pd.isna(line["control"]):
        return []
    return [Dot(line["control"], _CONTROL, "below", line["control_low"], line["control_high"])]


def _line(metric: Metric, fewest: int) -> dict[str, Any]:
    line: dict[str, Any] = dict.fromkeys(_COLUMNS) | {"slice": metric.slice or _("all rows"), "n": metric.n}
    if metric.value is None:
        return line | {"shown": _("missing: {why}", why=told(metric.note)), "interval": ""}
    if metric.n < fewest and metric.slice:
        return line | {"shown": _("masked: n is under {fewest}", fewest=fewest), "interval": ""}
    value = metric.value
    low, high = (value if end is None else end for end in (metric.low, metric.high))
    line |= {"value": value, "low": low, "high": high, "shown": number(value)}
    line["open"] = opening(metric.low, metric.high)
    line["interval"] = interval(metric.low, metric.high)
    if metric.control is not None and metric.control.value is not None:
        control = metric.control
        ends = (control.value if end is None else end for end in (control.low, control.high))
        line |= dict(zip(("control", "control_low", "control_high"), (control.value, *ends), strict=True))
    return line


def _control(line: Mapping[Hashable, Any]) -> str:
    if pd.isna(line["control"]):
        return ""
    return f"{number(line['control'])} {interval(line['control_low'], line['control_high'])}"
