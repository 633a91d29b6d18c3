"""Whether confidence can be believed: the reliability diagram, and risk against coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from dashboards.kinds.view import Declaration, Shown, View
from dashboards.rows import Rows
from dashboards.view_models.views import plain
from dashboards.whiskers import TICKS
from harness.base.colours import BLUE, GREEN, GREY
from harness.base.language import _
from harness.base.numbers import interval, percent
from harness.stats.confidence import BoolArray, equal_mass, risk_coverage
from harness.stats.intervals import FloatArray, clopper_pearson

_HEIGHT = 340
_POINTS = 400
"""Levels of a curve that are drawn: more lie on one pixel."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Confidence in each answer, [n], and whether it is right, [n]."""

    confidence: FloatArray
    right: BoolArray


def confidence_sql(declared: Declaration) -> tuple[str, str] | None:
    """SQL of confidence and of being right, by the names that rows have for them; None where they lack one.

    `probabilities` (of each class) or `confidence` (of the answer); `correct`, or `label` and `predicted` of one type.
    """
    if declared.has("confidence", "double", "float"):
        confidence = "confidence::DOUBLE"
    elif declared.has("probabilities", "list<double>"):
        confidence = "list_max(probabilities)"
    elif declared.has("probabilities", "string"):  # rows of older versions hold lists as text
        confidence = "list_max(TRY_CAST(probabilities AS DOUBLE[]))"
    else:
        return None
    if declared.has("correct", "bool"):
        return confidence, "correct"
    kinds = {declared.columns[name].type for name in ("label", "predicted") if name in declared.columns}
    comparable = declared.has("label") and declared.has("predicted") and len(kinds) == 1
    return (confidence, "label = predicted") if comparable and kinds <= {"int64", "string", "bool"} else None


def answers(rows: Rows, sql: tuple[str, str]) -> Answers:
    """Of all rows with status ok that have both."""
    confidence, right = sql
    found = rows.ask(
        f'SELECT {confidence} AS confidence, ({right}) AS "right" FROM {{rows}} '
        f"WHERE status = 'ok' AND isfinite({confidence}) AND ({right}) IS NOT NULL"
    )
    return Answers(found["confidence"].to_numpy(np.float64), found["right"].to_numpy(np.bool_))


def reliability(found: Answers) -> pd.DataFrame:
    """A line per bin of equal mass: mean `confidence`, `share` right with `low` and `high` (Clopper-Pearson), `n`."""
    bins = equal_mass(found.confidence)
    lines = []
    for each in np.unique(bins):
        mine = bins == each
        n, hits = int(mine.sum()), int(found.right[mine].sum())
        ends = clopper_pearson(hits, n)
        line = {"confidence": float(found.confidence[mine].mean()), "share": hits / n, "n": n}
        lines.append(line | {"low": ends.low, "high": ends.high, "interval": interval(ends.low, ends.high)})
    return pd.DataFrame(lines)


def risk_curves(found: Answers) -> pd.DataFrame:
    """`coverage`, `risk`, `order`: the surest first, and the best order there is, all right ones first."""
    n = len(found.right)
    best = found.right + np.arange(n) / (2 * n)
    parts = []
    for order, curve in (
        ("surest", risk_coverage(found.confidence, found.right)),
        ("best", risk_coverage(best, found.right)),
    ):
        kept = np.unique(np.linspace(0, len(curve.risk) - 1, _POINTS).round().astype(int))
        parts.append(pd.DataFrame({"coverage": curve.coverage[kept], "risk": curve.risk[kept], "order": order}))
    return pd.concat(parts, ignore_index=True)


class Reliability(View):
    """Share right against confidence."""

    name = "reliability"
    place = 30

    @property
    def title(self) -> str:
        """What readers choose it by."""
        return _("Reliability")

    def fits(self, declared: Declaration) -> bool:
        """Where rows have a confidence and what tells that an answer is right."""
        return confidence_sql(declared) is not None

    def draw(self, shown: Shown) -> None:
        """A point per bin, beside the line where confidence can be believed."""
        found = _read(shown)
        if found is None:
            return
        bins = reliability(found)
        said = _(
            "n = {n}; mean confidence {confidence}, right {share}. Each point holds about {size} answers; lines: 95 % "
            "intervals. Below the dashed line the model is too sure.",
            n=f"{len(found.right):,}",
            confidence=percent(round(float(found.confidence.mean()), 4)),
            share=percent(round(float(found.right.mean()), 4)),
            size=f"{int(bins['n'].median()):,}",
        )
        st.caption(plain(said))
        st.altair_chart(_reliability_chart(bins), width="stretch", alt=plain(_("Share right by confidence")))


class Risk(View):
    """Share wrong against the share answered."""

    name = "risk-coverage"
    place = 35

    @property
    def title(self) -> str:
        """What readers choose it by."""
        return _("Risk and coverage")

    def fits(self, declared: Declaration) -> bool:
        """Where rows have a confidence and what tells that an answer is right."""
        return confidence_sql(declared) is not None

    def draw(self, shown: Shown) -> None:
        """The curve between the best order and any order."""
        found = _read(shown)
        if found is None:
            return
        wrong = float((~found.right).mean())
        said = _(
            "n = {n}; answering all, {wrong} are wrong.", n=f"{len(found.right):,}", wrong=percent(round(wrong, 4))
        )
        st.caption(plain(said))
        chart = _risk_chart(risk_curves(found), wrong)
        st.altair_chart(chart, width="stretch", alt=plain(_("Share wrong by share answered")))


def _read(shown: Shown) -> Answers | None:
    sql = confidence_sql(shown.declared)
    assert sql is not None
    found = _kept_answers(shown.key, sql, shown.rows)
    if len(found.right) == 0:
        st.info(_("No row has both a confidence and a right answer."))
        return None
    return found


@st.cache_data(max_entries=8, show_spinner=False)
def _kept_answers(key: object, sql: tuple[str, str], _rows: Rows) -> Answers:
    return answers(_rows, sql)


def _reliability_chart(bins: pd.DataFrame) -> Any:
    low = float(bins["confidence"].min())
    scale = alt.Scale(domain=[max(0.0, low - 0.02), 1.0], nice=False)
    x = alt.X("confidence:Q", title=_("confidence"), scale=scale, axis=alt.Axis(tickCount=TICKS))
    y = alt.Y("share:Q", title=_("share right"), scale=alt.Scale(domain=[0, 1]))
    ends = max(0.0, low - 0.02)
    believed = alt.Chart(pd.DataFrame({"confidence": [ends, 1.0], "share": [ends, 1.0]}))
    points = alt.Chart(bins)
    tooltip = [alt.Tooltip("confidence:Q", format=".4f"), alt.Tooltip("share:Q", format=".4f"), "interval:N", "n:Q"]
    return alt.layer(
        believed.mark_line(color=GREY, strokeDash=[5, 4]).encode(x=x, y=y),
        points.mark_rule(color=BLUE, strokeWidth=2).encode(x=x, y=alt.Y("low:Q", title=_("share right")), y2="high:Q"),
        points.mark_point(color=BLUE, filled=True, opacity=1, size=90).encode(x=x, y=y, tooltip=tooltip),
    ).properties(height=_HEIGHT)


def _risk_chart(curves: pd.DataFrame, wrong: float) -> Any:
    names = {"surest": _("surest first"), "best": _("if it knew its errors"), "any": _("in any order")}
    flat = pd.DataFrame({"coverage": [0.0, 1.0], "risk": [wrong, wrong], "order": "any"})
    drawn = pd.concat([curves, flat], ignore_index=True)
    drawn["order"] = drawn["order"].map(names)
    colours = alt.Scale(domain=list(names.values()), range=[BLUE, GREEN, GREY])
    dashes = alt.Scale(domain=list(names.values()), range=[[1, 0], [2, 3], [6, 4]])
    legend = alt.Legend(orient="top", title=None, labelLimit=0)
    return (
        alt.Chart(drawn)
        .mark_line(strokeWidth=2.5)
        .encode(
            x=alt.X("coverage:Q", title=_("share answered"), scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("risk:Q", title=_("share wrong of those")),
            color=alt.Color("order:N", scale=colours, legend=legend),
            strokeDash=alt.StrokeDash("order:N", scale=dashes, legend=legend),
            tooltip=["order:N", alt.Tooltip("coverage:Q", format=".3f"), alt.Tooltip("risk:Q", format=".4f")],
        )
        .properties(height=_HEIGHT)
    )
