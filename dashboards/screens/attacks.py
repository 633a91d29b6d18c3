"""Page: attacked texts one at a time, before and after."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboards import cache
from dashboards.audits import Audit
from dashboards.rows import RowFilter, Rows
from dashboards.settings import Settings, read_settings
from dashboards.view_models import attacks, views
from dashboards.view_models.changes import changes_html
from dashboards.widgets.choose import choose, choose_audit
from dashboards.widgets.reveal import revealed, searched
from dashboards.widgets.steps import step
from harness.base.language import _
from harness.errors import AssayError


def show() -> None:
    """Draw the page."""
    settings = read_settings()
    left, right = st.columns(2)
    with left:
        audit = choose_audit("attacks", settings, lambda audit: bool(_attacked(audit)))
    if audit is None:
        return
    probes = _attacked(audit)
    if not probes:
        st.info(_("No rows of this audit hold texts before and after an attack."))
        return
    with right:
        probe = choose("attacks", "probe", probes)
    try:
        _attacks(audit, probe, settings)
    except AssayError as error:
        st.error(views.plain(str(error)), icon=":material/broken_image:")


def _attacked(audit: Audit) -> list[str]:
    """Probes of an audit that attacked texts."""
    return [probe.name for probe in audit.manifest.probes if cache.is_attack(audit.folder, probe.name)]


def _attacks(audit: Audit, probe: str, settings: Settings) -> None:
    rows = cache.rows(audit.folder, probe)
    _success(audit, probe)
    outcome, label, text, reveal = st.columns([1, 1, 2, 1], vertical_alignment="bottom")
    labels, outcomes = (_choices(rows, name) for name in (attacks.LABEL, attacks.OUTCOME))
    chosen = outcome.selectbox(
        _("Outcome"),
        list(outcomes),
        index=None,
        placeholder=_("any"),
        key="outcome",
        bind="query-params",
    )
    of = label.selectbox(
        _("True class"), list(labels), index=None, placeholder=_("any"), key="label", bind="query-params"
    )
    contains = text.text_input(_("Text contains"), key="contains", bind="query-params")
    with reveal:
        readable = revealed(settings.output, audit.manifest.audit_id, probe)
    hits = searched(settings.output, audit.manifest.audit_id, probe, contains or "", readable=readable)
    wanted = attacks.wanted(outcomes.get(chosen), labels.get(of), hits)
    count = cache.row_count(audit.folder, probe, wanted)
    if count == 0:
        st.info(_("No attacked text is left by these filters."))
        return
    st.caption(_("{n:,} of {all:,} texts", n=count, all=rows.total))
    _one(rows, wanted, readable)


def _choices(rows: Rows, column: str) -> dict[str | None, Any]:
    """What to choose among in a column, by how it reads; nothing where its texts are hidden."""
    if column not in rows.sortable or column in attacks.hidden(rows):
        return {}
    return {str(each): each for each in rows.choices(column) or [] if each is not None}


def _success(audit: Audit, probe: str) -> None:
    """The rates of the attack with their intervals: raw and, where it was measured, filtered by meaning."""
    rates = [metric for metric in audit.metrics if metric.key.startswith(f"{probe}/") and not metric.slice]
    shown = [metric for metric in rates if metric.key.endswith("success_rate") and metric.value is not None]
    for place, metric in zip(st.columns(max(1, len(shown[:4]))), shown[:4], strict=False):
        line = views.metric_table([metric], audit.verdict).iloc[0]
        place.metric(views.plain(metric.key.rpartition("/")[2].replace("_", " ")), line["value"])
        place.caption(views.plain(f"{line['interval']}, n={metric.n}"))


def _one(rows: Rows, wanted: RowFilter, readable: bool) -> None:
    """The text that the address names, else the first."""
    asked = st.query_params.get("case")
    row = rows.find(asked) if asked else None
    if asked and row is None:
        st.info(views.plain(_("No row of this probe has the case {case}; showing the first.", case=repr(asked[:80]))))
    if row is None:
        case = str(rows.page(wanted, 1, 1)["case_id"].iloc[0])
        row = rows.find(case)
        assert row is not None
    step(*rows.neighbours(wanted, row["case_id"]))
    if readable:
        changed = changes_html(row)
        st.html(changed) if changed else st.info(_("This text was not changed."))
    else:
        st.info(_("Its texts are hidden. Switch on “Show texts” to read them."))
    bars, told = st.columns(2)
    with bars:
        for name, value in attacks.scores(row):
            st.progress(min(max(value, 0.0), 1.0), text=f"{name}: {value:.3f}")
    facts = attacks.facts(row if readable else views.mask_row(row, {*row} - attacks.hidden(rows)))
    told.table(views.markdown_table((_("what"), _("value")), facts), border="horizontal", width="content")
    st.caption(views.plain(_("case {case}", case=row["case_id"])))


show()
