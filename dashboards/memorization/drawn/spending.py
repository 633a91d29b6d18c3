"""How epsilon was spent on the records of an audit's checkpoint."""

from __future__ import annotations

import shlex

import streamlit as st

from dashboards.audits import Audit
from dashboards.memorization import spending
from dashboards.memorization.beside import checkpoint_folder, holds_others
from dashboards.memorization.beside import spending as saved
from dashboards.memorization.charts import spent_chart, together_chart
from dashboards.memorization.drawn.figure import figure
from dashboards.view_models.views import plain
from harness.base.language import _
from harness.errors import AssayError
from harness.provenance.spending import SharedRecords, Spending


def history(audit: Audit) -> None:
    """Epsilon over steps and over trainings, as `assay budget --save` left it, or how to have it."""
    folder = checkpoint_folder(audit)
    if folder is None:
        st.info(_("The checkpoint does not lie on this machine, so what its trainings spent is not known here."))
        return
    try:
        found = saved(audit)
    except AssayError as error:
        st.error(plain(str(error)), icon=":material/broken_image:")
        return
    if holds_others(audit):
        st.info(_("The checkpoint's folder holds other weights by now: what the audited ones spent is not known here."))
        return
    command = shlex.join(["assay", "budget", str(folder.parent), "--save"])
    if found is None:
        st.info(_("The history of what was spent is not saved. Have it written beside the checkpoints:"))
        st.code(command, language=None, wrap_lines=True)
        return
    root, record = found
    name = spending.name_below(root, folder)
    group = spending.group_of(record, name)
    if group is None:
        st.info(plain(_("The history of {when} does not know this checkpoint. Write it anew:", when=record.written)))
        st.code(command, language=None, wrap_lines=True)
        return
    _draw(group, record, name)


def _draw(group: SharedRecords, record: Spending, name: str) -> None:
    st.text(spending.said(group, record))
    steps, trainings = spending.over_steps(group, name), spending.over_trainings(group)
    left, right = st.columns(2)
    with left:
        if steps.empty:
            st.info(_("This training has no noisy steps to count."))
        else:
            figure(spent_chart(steps), _("Epsilon over the noisy steps of this training."), steps)
    with right:
        if trainings.empty:
            st.info(_("No bound over the trainings on these records."))
        else:
            figure(together_chart(trainings, record.total), _("Epsilon over trainings on these records."), trainings)
    st.dataframe(spending.table(group), hide_index=True, alt=_("Trainings that share records"))
    st.caption(
        plain(
            _(
                "Written {when} by assay budget --save, which counts what lies in that folder; bounds are for {unit}.",
                when=record.written,
                unit=group.unit,
            )
        )
    )
