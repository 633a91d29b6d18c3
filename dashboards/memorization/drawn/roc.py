"""View: true against false positives of membership on logarithmic axes, under what the claim allows."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards.kinds.view import Declaration, Shown, View
from dashboards.memorization import roc
from dashboards.memorization.charts import roc_chart
from dashboards.memorization.drawn.exposure import GOOD
from dashboards.memorization.drawn.figure import figure
from dashboards.memorization.shapes import tells_members
from dashboards.rows import Rows
from dashboards.view_models.views import plain
from harness.base.language import _
from harness.base.numbers import percent
from harness.record.folder import AuditFolder

_FIRST = 2
"""Signals drawn at first: more than two bands cover each other."""


class Roc(View):
    """A curve per signal in its band."""

    name = "roc"
    place = 22

    @property
    def title(self) -> str:
        """What readers choose it by."""
        return _("Membership, ROC")

    def fits(self, declared: Declaration) -> bool:
        """Where rows say which records are members, and have a signal of it."""
        return tells_members(declared.columns)

    def draw(self, shown: Shown) -> None:
        """The curves, or why there are none."""
        why = roc.why_unjudged(shown.metrics, shown.probe)
        if why:
            st.info(plain(_("No curve is drawn: {why}.", why=why)))
            return
        curves, least = _kept(shown.key, shown.rows)
        if not curves:
            st.info(_("No curve is drawn: too few held-out records to fix a threshold on and to measure it with."))
            return
        names = _signals(shown, list(curves))
        if not names:
            st.info(_("Choose a signal."))
            return
        drawn = pd.concat([curves[name].assign(signal=name) for name in names], ignore_index=True)
        allowed, said = _ceiling(shown)
        words = _("True-positive over false-positive rate of membership, both axes logarithmic.")
        figure(roc_chart(drawn, allowed, least), words, drawn)
        st.caption(plain(" ".join([_how(least), said])))


def _signals(shown: Shown, known: list[str]) -> list[str]:
    place = f"roc.{shown.probe}"  # by probe: a page may show several
    named = [each for each in shown.address.get(place, "").split(",") if each in known]
    names = st.multiselect(
        _("Signals"), known, default=named or known[:_FIRST], key=f"roc-{shown.probe}", select_all=False
    )
    shown.address[place] = ",".join(names)
    return list(names)


def _how(least: float) -> str:
    return _(
        "Each threshold is fixed on half of the held-out records; rates are of members and the other half. Bands: 95 % "
        "at each threshold. Fewer than ten false positives tell nothing, so curves begin near {rate}.",
        rate=percent(least),
    )


def _ceiling(shown: Shown) -> tuple[pd.DataFrame, str]:
    """What the claim allows, and what is said of it; nothing where it was not verified."""
    training = shown.audit.manifest.checkpoint.training
    claim = training.privacy if training is not None else None
    none = pd.DataFrame(columns=["fpr", "most"])
    if claim is None or not claim.is_made:
        return none, _("This checkpoint claims no privacy, so nothing bounds an attack.")
    if claim.doubt:
        return none, _("What the claim allows is not drawn, since the claim could not be verified.")
    found = _drawn_ceiling(shown)
    if found.empty:
        return none, _("The audit did not say what the claim allows.")
    return found, _("Dashed with triangles: the most that the verified claim allows any attack.")


def _drawn_ceiling(shown: Shown) -> pd.DataFrame:
    """That of the audit's curves; of older audits that of their rows, at the few rates asked for."""
    plots = [plot for plot in AuditFolder(shown.audit.folder).curves() if plot.probe == shown.probe]
    found = roc.claimed(plots)
    if not found.empty:
        return found
    params = next((each.params for each in shown.audit.manifest.probes if each.name == shown.probe), {})
    return roc.ceiling(shown.rows.read(["ceilings"], GOOD).get("ceilings", []), params.get("fprs", ()))


@st.cache_data(max_entries=32, show_spinner=False)
def _kept(key: object, _rows: Rows) -> tuple[dict[str, pd.DataFrame], float]:
    good = _rows.read(roc.COLUMNS, GOOD)
    if good.empty:
        return {}, 1.0
    found = {name: roc.curve(good, name) for name in roc.signals(good)}
    return {name: points for name, points in found.items() if not points.empty}, roc.least_rate(good)
