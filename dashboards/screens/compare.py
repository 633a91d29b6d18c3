"""Page: an audit beside others, by the cases that both have."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import streamlit as st

from dashboards import cache
from dashboards.audits import Audit, Entry
from dashboards.charts import difference_chart
from dashboards.settings import Settings, read_settings
from dashboards.view_models import comparison, views
from dashboards.widgets.choose import choose_audit
from dashboards.widgets.reveal import revealed
from harness.base.language import _
from harness.errors import AssayError
from harness.gate.verdict import Comparison, Flips

_FLIPPED = 10  # cases of one direction on the page; the rows page has all


def show() -> None:
    """Draw the page."""
    settings = read_settings()
    left, right = st.columns(2)
    with left:
        audit = choose_audit("compare", settings)
    if audit is None:
        return
    entries, _problem = cache.entries(settings)
    others = {entry.audit_id: entry for entry in entries if entry.audit_id != audit.manifest.audit_id and entry.audit}
    with right:
        against = st.multiselect(
            _("Against"),
            list(others),  # by their ids alone: the address holds what is shown
            key="against",
            bind="query-params",
            placeholder=_("Choose audits to compare with"),
            select_all=False,
        )
    if not against:
        st.info(
            _("Choose one or more audits that measured the same cases: a baseline, or a variant of the checkpoint.")
        )
        return
    for audit_id in against:
        _against(audit, others[audit_id], settings)


def _against(audit: Audit, entry: Entry, settings: Settings) -> None:
    st.header(views.plain(_("{name} against {audit}", name=audit.manifest.name, audit=entry.audit_id)))
    assert entry.audit is not None
    try:
        compared = cache.compared(audit, entry.audit)
    except AssayError as error:
        st.warning(views.plain(str(error)))
        return
    if not compared:
        st.info(_("The two have no headline metric in common."))
        return
    data = comparison.chart_frame(compared)
    for probe, group in groupby(data["metric"].sort_values(), key=lambda name: name.rpartition("/")[0]):
        label = ": ".join((probe, _("worse by")))
        st.html(difference_chart(data[data["metric"].isin(list(group))], label=label))
    st.caption(_("Right of the line: worse than the other audit. Line: confidence interval of the paired difference."))
    st.dataframe(views.titled(comparison.table(compared)), hide_index=True, alt=_("Paired differences by metric"))
    try:
        _flips(audit, entry.audit, comparison.flipped(compared), settings)
    except AssayError as error:  # rows that were damaged since
        st.error(views.plain(str(error)), icon=":material/broken_image:")


def _flips(audit: Audit, base: Audit, flipped: Sequence[Comparison], settings: Settings) -> None:
    """The cases that only one of the two gets right, with their texts."""
    if not flipped:
        return
    st.subheader(_("Flipped cases"))
    by_metric = {each.metric: each for each in flipped}
    key = f"flips-{base.manifest.audit_id}"
    metric = str(st.selectbox(_("Metric"), list(by_metric), key=key))
    flips = by_metric[metric].flips
    assert flips is not None
    probe = metric.rpartition("/")[0]
    readable = revealed(settings.output, audit.manifest.audit_id, probe, key=f"reveal-{base.manifest.audit_id}")
    rows = cache.rows(audit.folder, probe)
    for title, ids, count in _directions(flips):
        said = _("{title}: {n}", title=title, n=count)
        st.markdown(f"**{said}**")
        if ids:
            shown, private = rows.cases(ids[:_FLIPPED]), rows.private()
            st.dataframe(shown if readable else views.mask(shown, private), hide_index=True, alt=title)


def _directions(flips: Flips) -> list[tuple[str, tuple[str, ...], int]]:
    return [
        (_("Right there, wrong here"), flips.worse_ids, flips.worse),
        (_("Wrong there, right here"), flips.better_ids, flips.better),
    ]


show()
