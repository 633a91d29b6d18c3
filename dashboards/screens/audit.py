"""Page: one audit; the verdict and its reason first, then the evidence."""

from __future__ import annotations

import shlex

import streamlit as st

from dashboards.audits import Audit
from dashboards.charts import by_suite, chart_data, metric_chart, opening
from dashboards.settings import read_settings
from dashboards.view_models import views
from dashboards.widgets.assemble import page_of
from dashboards.widgets.choose import choose_audit
from dashboards.widgets.drawer import provenance_drawer
from harness.base.language import _, told
from harness.gate.decide import Outcome
from harness.record.folder import Status
from harness.reports.content.recorded import retold
from harness.reports.content.report import baseline_line


def show() -> None:
    """Draw the page."""
    audit = choose_audit("audit", read_settings())
    if audit is None:
        return
    title, drawer = st.columns([4, 1], vertical_alignment="bottom")
    title.title(views.plain(audit.manifest.name))
    with drawer:
        provenance_drawer(audit)
    _verdict(audit)
    _gates(audit)
    _baseline(audit)
    _metrics(audit)
    _cautions(audit)
    _probes(audit)


def _verdict(audit: Audit) -> None:
    manifest, verdict = audit.manifest, audit.verdict
    if manifest.status is not Status.FINISHED:
        st.warning(
            views.plain(
                _(
                    "{status}: {why}. If it has stopped, go on with:",
                    status=_(str(manifest.status)),
                    why=retold(manifest.why) or _("no verdict yet"),
                )
            )
        )
        st.code(shlex.join(["assay", "resume", str(audit.folder)]), language=None, wrap_lines=True)
        query = {"audit": manifest.audit_id}
        st.page_link("screens/live.py", label=_("Live"), icon=":material/monitor_heart:", query_params=query)
        for line in views.running(audit.events):
            st.text(views.plain(line))
    if verdict is None:
        return
    box = {Outcome.PASS: st.success, Outcome.BLOCK: st.error, Outcome.INCONCLUSIVE: st.warning}[verdict.outcome]
    box(f"**{views.badge(verdict.outcome).upper()}** — {views.plain(retold(verdict.reason))}")
    for warning in verdict.warnings:
        st.caption(views.plain(retold(warning)))


def _gates(audit: Audit) -> None:
    st.header(_("Gates"))
    if audit.verdict is None or not audit.verdict.gates:
        command = shlex.join(["assay", "gate", str(audit.folder), "--policy", "policy.yaml"])
        st.text(_("No gates were decided; decide with: {command}", command=command))
        return
    if audit.verdict.policy:
        st.caption(
            views.plain(
                _("Policy {policy}. A gate decides on the interval, not on the value.", policy=audit.verdict.policy)
            )
        )
    st.table(views.gate_table(audit.verdict), border="horizontal")


def _baseline(audit: Audit) -> None:
    """What it was compared with, where it was."""
    if audit.verdict is None or audit.verdict.baseline is None:
        return
    st.header(_("Compared with the baseline"))
    st.caption(views.plain(baseline_line(views.as_report(audit))))
    table = views.baseline_table(audit)
    if table.empty:
        st.text(_("No gate compares a metric with it."))
        return
    st.table(table, border="horizontal")


def _metrics(audit: Audit) -> None:
    st.header(_("Metrics"))
    if not audit.metrics:
        st.text(_("Nothing has been measured yet."))
        return
    everything = st.toggle(_("Show all metrics"), help=_("Also those that are no headlines: details and slices."))
    shown = [metric for metric in audit.metrics if metric.headline or everything]
    compared = False
    for index, (suite, mine) in enumerate(by_suite(shown).items()):
        st.subheader(views.plain(suite))
        charts = chart_data(mine, audit.verdict, suite)
        if not charts:
            st.text(_("No metric has a value; the table says why."))
        for number, data in enumerate(charts):
            compared = compared or not data.baselines.empty
            st.html(metric_chart(data, label=": ".join((suite, _(data.title))), legend=index == number == 0))
        _slices(audit, suite)
    st.caption(_("Dot: value. Line: confidence interval. Black bar: the limit a gate sets."))
    if any(opening(metric.low, metric.high) for metric in shown if metric.value is not None):
        st.caption(_("Arrow: the interval has no end on that side."))
    if compared:
        st.caption(_("Ring: the baseline's value, over the cases both have."))
    st.dataframe(
        views.titled(views.metric_table(shown, audit.verdict)),
        hide_index=True,
        column_config={_("value"): st.column_config.TextColumn(width="medium")},
        alt=_("Metrics with their intervals and gates"),
    )


def _slices(audit: Audit, suite: str) -> None:
    """Leads to the slices of the suite's probes, with their n."""
    sliced = dict.fromkeys(metric.key.rpartition("/")[0] for metric in audit.metrics if metric.slice)
    for probe in [probe for probe in sliced if probe.startswith(f"{suite}/")]:
        query = {"audit": audit.manifest.audit_id, "probe": probe, "view": "slices"}
        label = views.plain(_("Slices of {probe}, with n", probe=probe))
        st.page_link(page_of(probe), label=label, icon=":material/stacked_bar_chart:", query_params=query)


def _cautions(audit: Audit) -> None:
    found = views.cautions(audit)
    st.header(_("Cautions"))
    if not found:
        st.text(_("Every planned probe ran on every case."))
        return
    lines = [(caution.kind, caution.where, caution.why) for caution in found]
    st.table(views.markdown_table((_("what"), _("where"), _("why")), lines), border="horizontal")


def _probes(audit: Audit) -> None:
    st.header(_("Probes"))
    for probe in audit.manifest.probes:
        with st.container(border=True):
            title, shown, button = st.columns([4, 1, 1], vertical_alignment="center")
            title.markdown(f"**{views.plain(probe.name)}**")
            query = {"audit": audit.manifest.audit_id, "probe": probe.name}
            shown.page_link(page_of(probe.name), label=_("Views"), icon=":material/insights:", query_params=query)
            button.page_link("screens/rows.py", label=_("Its rows"), icon=":material/table_rows:", query_params=query)
            st.text(told(probe.summary))
            st.text(_("It cannot tell: {what}", what=told(probe.cannot_tell)))
            said = _(
                "{paper}; {n} of {all} cases, version {version}",
                paper=probe.paper,
                n=probe.cases,
                all=probe.available,
                version=probe.version,
            )
            st.caption(views.plain(said))


show()
