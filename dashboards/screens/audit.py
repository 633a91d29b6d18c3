"""Page: one audit; the verdict and its reason first, then the evidence."""

from __future__ import annotations

import shlex

import streamlit as st

from dashboards import views
from dashboards.assemble import page_of
from dashboards.audits import Audit
from dashboards.charts import chart_data, metric_chart
from dashboards.choose import choose_audit
from dashboards.settings import read_settings
from harness.gate.decide import Outcome
from harness.record.folder import Status
from harness.reports.content.report import baseline_line


def show() -> None:
    """Draw the page."""
    audit = choose_audit("audit", read_settings())
    if audit is None:
        return
    st.title(views.plain(audit.manifest.name))
    _verdict(audit)
    _gates(audit)
    _baseline(audit)
    _metrics(audit)
    _cautions(audit)
    _probes(audit)
    _provenance(audit)


def _verdict(audit: Audit) -> None:
    manifest, verdict = audit.manifest, audit.verdict
    if manifest.status is not Status.FINISHED:
        st.warning(
            views.plain(f"{manifest.status}: {manifest.why or 'no verdict yet'}. If it has stopped, go on with:")
        )
        st.code(shlex.join(["assay", "resume", str(audit.folder)]), language="shell")
        for line in views.running(audit.events):
            st.text(views.plain(line))
    if verdict is None:
        return
    box = {Outcome.PASS: st.success, Outcome.BLOCK: st.error, Outcome.INCONCLUSIVE: st.warning}[verdict.outcome]
    box(f"**{views.badge(verdict.outcome).upper()}** — {views.plain(verdict.reason)}")
    for warning in verdict.warnings:
        st.caption(views.plain(warning))


def _gates(audit: Audit) -> None:
    st.header("Gates")
    if audit.verdict is None or not audit.verdict.gates:
        st.text(f"No gates were decided; decide with: assay gate {audit.manifest.audit_id} --policy policy.yaml")
        return
    if audit.verdict.policy:
        st.caption(views.plain(f"Policy {audit.verdict.policy}. A gate decides on the interval, not on the value."))
    st.table(views.gate_table(audit.verdict), border="horizontal")


def _baseline(audit: Audit) -> None:
    """What it was compared with, where it was."""
    if audit.verdict is None or audit.verdict.baseline is None:
        return
    st.header("Compared with the baseline")
    st.caption(views.plain(baseline_line(views.as_report(audit))))
    table = views.baseline_table(audit)
    if table.empty:
        st.text("No gate compares a metric with it.")
        return
    st.table(table, border="horizontal")


def _metrics(audit: Audit) -> None:
    st.header("Metrics")
    if not audit.metrics:
        st.text("Nothing has been measured yet.")
        return
    everything = st.toggle("Show all metrics", help="Also those that are no headlines: details and slices.")
    shown = [metric for metric in audit.metrics if metric.headline or everything]
    for index, data in enumerate(chart_data(shown, audit.verdict)):
        st.altair_chart(metric_chart(data, legend=index == 0), width="stretch")
    st.caption("Dot: value. Line: confidence interval. Black bar: the limit a gate sets.")
    st.dataframe(
        views.metric_table(shown, audit.verdict),
        hide_index=True,
        column_config={"value": st.column_config.TextColumn(width="medium")},
    )


def _cautions(audit: Audit) -> None:
    found = views.cautions(audit)
    st.header("Cautions")
    if not found:
        st.text("Every planned probe ran on every case.")
        return
    lines = [(caution.kind, caution.where, caution.why) for caution in found]
    st.table(views.markdown_table(("what", "where", "why"), lines), border="horizontal")


def _probes(audit: Audit) -> None:
    st.header("Probes")
    for probe in audit.manifest.probes:
        with st.container(border=True):
            title, shown, button = st.columns([4, 1, 1], vertical_alignment="center")
            title.markdown(f"**{views.plain(probe.name)}**")
            query = {"audit": audit.manifest.audit_id, "probe": probe.name}
            shown.page_link(page_of(probe.name), label="Views", icon=":material/insights:", query_params=query)
            button.page_link("screens/rows.py", label="Its rows", icon=":material/table_rows:", query_params=query)
            st.text(probe.summary)
            st.text(f"It cannot tell: {probe.cannot_tell}")
            st.caption(views.plain(f"{probe.paper}; {probe.cases} of {probe.available} cases, version {probe.version}"))


def _provenance(audit: Audit) -> None:
    with st.expander("Provenance"):
        st.table(views.markdown_table(("what", "value"), views.provenance(audit)), border="horizontal")
        st.text("To run it again:")
        st.code(audit.manifest.command or "assay run spec.yaml", language="shell", wrap_lines=True)
        st.text("Its spec:")
        st.json(audit.manifest.spec, expanded=1)


show()
