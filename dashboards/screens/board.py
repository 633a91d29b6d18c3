"""Page: the releases, each with what blocks it; the front page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import groupby

import streamlit as st

from dashboards import cache
from dashboards.settings import read_settings
from dashboards.view_models import board
from dashboards.view_models.board import Release, TrackedRelease
from dashboards.view_models.history import history_html, meaning
from dashboards.view_models.views import counts_text, plain, tinted
from dashboards.widgets.choose import no_audits
from harness.base.language import _, day
from harness.reports.content.recorded import retold

_SHOWN = 10  # releases of one page: two screens; more take longer to draw than to read
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
    aliases = cache.aliases(settings)
    lines = board.releases(entries, aliases)
    tracked = board.tracked_releases(entries, lines, aliases)
    if not lines and not tracked:
        command = f"assay gate AUDIT --policy policy.yaml --output {shlex.quote(str(settings.output))}"
        st.info(plain(_("No audit was decided by a policy yet. Decide one with: {command}", command=command)))
        st.page_link("screens/audits.py", label=_("All audits"), icon=":material/list:")
        return
    if lines:
        _releases(lines)
    if tracked:
        _tracked(tracked)
    if lines:
        _grids(lines)


def _releases(lines: list[Release]) -> None:
    st.subheader(plain(board.counted(lines)), help=meaning())
    pages = -(-len(lines) // _SHOWN)
    page = st.pagination(pages, key="page", bind="query-params") if pages > 1 else 1
    for line in lines[(page - 1) * _SHOWN : page * _SHOWN]:
        _release(line)


def _release(line: Release) -> None:
    """A card of few elements: what a browser takes to draw a page goes by their number."""
    manifest, verdict = line.audit.manifest, line.verdict
    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"#### {tinted(verdict.outcome)} {plain(manifest.name)}", width="content")
            if len(line.last) > 1:
                st.html(history_html(line.last, label=_("history {signs}", signs=line.history)), width="content")
            query = {"audit": manifest.audit_id}
            st.page_link("screens/audit.py", label=_("Evidence"), icon=":material/gavel:", query_params=query)
        st.markdown("  \n".join(_said(line)))


def _said(line: Release) -> Iterator[str]:
    """Lines of a release's card, as Markdown."""
    verdict = line.verdict
    facts = [
        _("policy {policy}", policy=verdict.policy),
        day(date.fromisoformat(line.audit.manifest.created[:10])),
        _("history {signs}", signs=line.history),
        *line.aliases,
    ]
    yield _small(" · ".join(facts))
    for newer in line.newer:
        said = _(
            "a newer audit, {audit}, has no verdict: {status}",
            audit=newer.manifest.audit_id,
            status=_(str(newer.manifest.status)),
        )
        yield f":material/warning: {plain(said)}"
    reasons = line.in_the_way()
    for result in reasons[:_REASONS]:
        yield f"{tinted(result.effective)} **{plain(result.gate.id)}** {plain(retold(result.reason))}"
    if len(reasons) > _REASONS:
        yield _small(_("and {n} more gates that do not pass", n=len(reasons) - _REASONS))
    for waiver in line.waivers(datetime.now(UTC).date()):
        said = _("waiver — {waiver}", waiver=waiver)
        yield f":material/pan_tool: {plain(said)}"
    if changes := line.changes():
        since = day(date.fromisoformat(line.earlier[0].manifest.created[:10]))
        yield _small(_("since {day}: {changes}", day=since, changes=_("; ").join(changes)))


def _small(text: str) -> str:
    return f":small[{plain(text)}]"


def _tracked(found: list[TrackedRelease]) -> None:
    """Releases whose folder is not here, as MLflow tells them."""
    st.header(_("In MLflow alone"))
    st.caption(_("Their folders are not here; an audit is downloaded when its evidence is opened."))
    for each in found[:_SHOWN]:
        run = each.run
        with st.container(border=True):
            title, link = st.columns([5, 1], vertical_alignment="center")
            title.markdown(f"#### {tinted(run.verdict)} {plain(run.name)}")
            query = {"audit": run.audit_id}
            link.page_link("screens/audit.py", label=_("Evidence"), icon=":material/gavel:", query_params=query)
            st.caption(plain(" · ".join([run.created[:10], counts_text(run.gates), *each.aliases])))
            st.markdown(plain(retold(run.reason)))
    if len(found) > _SHOWN:
        st.caption(_("and {n} more, see the list of audits", n=len(found) - _SHOWN))


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
