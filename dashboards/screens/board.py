"""Page: the releases, each with what blocks it; the front page."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import groupby

import streamlit as st

from dashboards import board, cache
from dashboards.board import Release
from dashboards.choose import no_audits
from dashboards.settings import read_settings
from dashboards.views import plain, tinted
from harness.base.language import _, day
from harness.reports.content.recorded import retold

_SHOWN = 20  # releases of one page: more take longer to draw than to read
_REASONS = 3


def show() -> None:
    """Draw the page."""
    settings = read_settings()
    st.title(_("Releases"))
    entries, problem = cache.entries(settings)
    if problem:
        st.warning(plain(problem), icon=":material/cloud_off:")
    if not entries:
        no_audits(settings)
        return
    lines = board.releases(entries, cache.aliases(settings))
    if not lines:
        command = "assay gate AUDIT --policy policy.yaml"
        st.info(_("No audit was decided by a policy yet. Decide one with: {command}", command=command))
        st.page_link("screens/audits.py", label=_("All audits"), icon=":material/list:")
        return
    st.subheader(plain(board.counted(lines)))
    pages = -(-len(lines) // _SHOWN)
    page = st.pagination(pages, key="page", bind="query-params") if pages > 1 else 1
    for line in lines[(page - 1) * _SHOWN : page * _SHOWN]:
        _release(line)
    _grids(lines)


def _release(line: Release) -> None:
    manifest, verdict = line.audit.manifest, line.verdict
    with st.container(border=True):
        title, link = st.columns([5, 1], vertical_alignment="center")
        title.markdown(f"#### {tinted(verdict.outcome)} {plain(manifest.name)}")
        query = {"audit": manifest.audit_id}
        link.page_link("screens/audit.py", label=_("Evidence"), icon=":material/gavel:", query_params=query)
        facts = [
            _("policy {policy}", policy=verdict.policy),
            day(date.fromisoformat(manifest.created[:10])),
            _("history {signs}", signs=line.history),
            *line.aliases,
        ]
        st.caption(plain(" · ".join(facts)))
        for newer in line.newer:
            said = _(
                "a newer audit, {audit}, has no verdict: {status}",
                audit=newer.manifest.audit_id,
                status=_(str(newer.manifest.status)),
            )
            st.markdown(f":material/warning: {plain(said)}")
        reasons = line.in_the_way()
        for result in reasons[:_REASONS]:
            st.markdown(f"{tinted(result.effective)} **{plain(result.gate.id)}** {plain(retold(result.reason))}")
        if len(reasons) > _REASONS:
            st.caption(_("and {n} more gates that do not pass", n=len(reasons) - _REASONS))
        for waiver in line.waivers(datetime.now(UTC).date()):
            said = _("waived — {waiver}", waiver=waiver)
            st.markdown(f":material/pan_tool: {plain(said)}")
        if line.changes():
            since = day(date.fromisoformat(line.earlier[0].manifest.created[:10]))
            st.caption(plain(_("since {day}: {changes}", day=since, changes=_("; ").join(line.changes()))))


def _grids(lines: list[Release]) -> None:
    """Every gate of a policy against every checkpoint that it decided on."""
    st.header(_("Gates"))
    ordered = sorted(lines, key=lambda line: line.verdict.policy)
    for policy, group in groupby(ordered, key=lambda line: line.verdict.policy):
        st.caption(plain(_("Policy {policy}", policy=policy)))
        st.dataframe(
            board.grid(list(group)),
            hide_index=True,
            alt=plain(_("Gates of policy {policy} by checkpoint", policy=policy)),
        )


show()
