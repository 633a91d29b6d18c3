"""The epsilon that an audit's checkpoint claims beside what its canaries prove."""

from __future__ import annotations

import streamlit as st

from dashboards.audits import Audit
from dashboards.memorization import epsilon
from dashboards.memorization.charts import epsilon_chart
from dashboards.memorization.drawn.figure import figure
from dashboards.memorization.shapes import CANARIES, has
from dashboards.rows import column_names
from dashboards.view_models.views import plain
from harness.base.language import _
from harness.provenance.claim import training_line

PLANT = "assay train train.yaml --privacy epsilon=8 --canaries canaries.yaml"


def epsilons(audit: Audit) -> None:
    """How the claim stands, every bound on epsilon, and what to do where none was looked for."""
    training = audit.manifest.checkpoint.training
    standing = epsilon.standing(training, audit.metrics)
    box = {"alarm": st.error, "unverified": st.warning, "agrees": st.success}.get(standing.kind, st.info)
    box(plain(standing.words))
    st.caption(plain(training_line(training, has_manifest=training is not None)))
    probes = [each.name for each in audit.manifest.probes if has(column_names(audit.folder, each.name), CANARIES)]
    found = epsilon.bounds(training, audit.metrics, probes[0] if probes else "")
    if not found.empty:
        figure(
            epsilon_chart(found), _("Epsilon as claimed, as recomputed, and as proven at least."), epsilon.table(found)
        )
        st.caption(
            _(
                "Bars reach up to what is claimed: epsilon is at most that. Dotted lines start at what the canaries "
                "prove: epsilon is at least that, never at most. Cross: the most that so many canaries could show."
            )
        )
    if not probes:
        _how_to_plant(audit)


def _how_to_plant(audit: Audit) -> None:
    why = {**audit.manifest.not_applicable, **audit.manifest.no_data}.get("memorization/epsilon_audit")
    if why:
        st.info(plain(_("No canary tested it: {why}.", why=why)))
    else:
        st.info(_("No canary tested it. Plant some when you train, and audit with memorization/epsilon_audit:"))
    st.code(PLANT, language=None, wrap_lines=True)
