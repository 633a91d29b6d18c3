"""A page about probes that assembles itself: the numbers of one probe, then the views that fit what it declares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from dashboards import cache
from dashboards.audits import Audit
from dashboards.charts import chart_data, metric_chart
from dashboards.folder_key import folder_key
from dashboards.kinds import Shown, View, declaration, draw, fitting
from dashboards.settings import Settings, read_settings
from dashboards.view_models import views
from dashboards.widgets.choose import choose, choose_audit
from dashboards.widgets.reveal import revealed
from harness.base.language import _, told
from harness.errors import AssayError
from harness.record.folder import Status

PAGES = {"bias": "screens/bias.py", "quality": "screens/quality.py"}
"""Page of each suite that has one of its own; every other probe has `ANY`."""
ANY = "screens/probe.py"
_KEPT = ("audit", "probe")


def page_of(probe: str) -> str:
    """File of the page that shows a probe."""
    return PAGES.get(probe.partition("/")[0], ANY)


def show_probes(page: str, wanted: Callable[[str], bool], nothing: str) -> None:
    """Draw a page about the probes of an audit whose names are `wanted`; `nothing` is said where there is none."""
    settings = read_settings()
    left, right = st.columns(2)
    with left:
        audit = choose_audit(page, settings)
    if audit is None:
        return
    probes = [probe.name for probe in audit.manifest.probes if wanted(probe.name)]
    if not probes:
        st.info(views.plain(nothing))
        return
    with right:
        probe = choose(page, "probe", probes)
    _forget_others(page, audit.manifest.audit_id, probe)
    show_probe(page, audit, probe, settings)


def show_probe(page: str, audit: Audit, probe: str, settings: Settings) -> None:
    """Draw what one probe found: its numbers, then one of the views that fit it."""
    if audit.manifest.status is not Status.FINISHED:
        said = _("This audit is not finished ({status}): its rows so far.", status=_(str(audit.manifest.status)))
        st.warning(views.plain(said))
    record = next(each for each in audit.manifest.probes if each.name == probe)
    st.text(told(record.summary))
    st.caption(views.plain(_("It cannot tell: {what}", what=told(record.cannot_tell))))
    _numbers(audit, probe)
    try:
        _views(page, audit, probe, settings)
    except AssayError as error:
        st.error(views.plain(str(error)), icon=":material/broken_image:")


def _numbers(audit: Audit, probe: str) -> None:
    mine = [metric for metric in audit.metrics if metric.key.startswith(f"{probe}/") and metric.headline]
    if not mine:
        st.info(_("No number of this probe yet."))
        return
    for index, data in enumerate(chart_data(mine, audit.verdict, probe)):
        st.html(metric_chart(data, label=": ".join((probe, _(data.title))), legend=index == 0))
    table = st.expander(_("Its numbers as a table"), on_change="rerun", key=f"numbers-{probe}")
    if table.open:
        table.dataframe(views.titled(views.metric_table(mine, audit.verdict)), hide_index=True, alt=views.plain(probe))


def _views(page: str, audit: Audit, probe: str, settings: Settings) -> None:
    rows = cache.rows(audit.folder, probe)
    for damage in rows.damaged:
        st.error(views.plain(_("A part of these rows is damaged and left out. {why}", why=damage)))
    for said in rows.left_out:
        st.warning(views.plain(said))
    if rows.total == 0:
        st.info(views.plain(_("{probe} has no rows.", probe=probe)))
        return
    found = cache.views()
    declared = declaration(audit, probe, rows.types(), cache.probes().get(probe))
    fit, failed = fitting(found.views, declared)
    chosen, reveal = st.columns([4, 1], vertical_alignment="bottom")
    with chosen:
        view = _choose_view(page, probe, fit)
    with reveal:
        readable = revealed(settings.output, audit.manifest.audit_id, probe)
    if view is not None:
        key = cache.rows_key(audit.folder, probe)
        draw(view, Shown(audit, declared, rows, readable, st.query_params, key, folder_key(settings.output)))
    for why in [*(f"{point}: {reason}" for point, reason in found.errors.items()), *failed]:
        st.caption(views.plain(_("A view cannot be used: {why}", why=why)))


def _choose_view(page: str, probe: str, fit: Sequence[View]) -> View | None:
    """One of the views, at first the one that the address names; the address follows."""
    if not fit:
        st.info(_("No view fits what this probe declares; its rows are on the page Rows."))
        return None
    by_name = {view.name: view for view in fit}
    key, named = f"{page}-view-{probe}", st.query_params.get("view")
    if st.session_state.get(key) not in by_name:
        st.session_state[key] = named if named in by_name else fit[0].name
    chosen = st.segmented_control(
        _("View"), list(by_name), key=key, format_func=lambda name: views.plain(by_name[name].title), required=True
    )
    name = str(chosen or fit[0].name)
    if named != name:
        st.query_params["view"] = name
    return by_name[name]


def _forget_others(page: str, audit: str, probe: str) -> None:
    """Another choice of audit or probe drops from the address what a view of the former one remembered there."""
    last = st.session_state.get(f"{page}-of")
    st.session_state[f"{page}-of"] = (audit, probe)
    if last is not None and last != (audit, probe):
        for key in [key for key in st.query_params if key not in _KEPT]:
            del st.query_params[key]
