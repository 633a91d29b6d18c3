"""What privacy cost, of the frontiers that lie among the audits or beside the checkpoint."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboards.audits import Audit
from dashboards.memorization import frontier
from dashboards.memorization.beside import FoundTradeOff, trade_offs
from dashboards.memorization.charts import frontier_chart
from dashboards.memorization.drawn.figure import chosen, figure
from dashboards.view_models.views import plain
from harness.base.language import _
from harness.provenance.trade_off import TradeOff

COMMAND = "assay frontier train.yaml --epsilons 8,3,1,inf"


def frontiers(audit: Audit, output: Path) -> None:
    """One of the frontiers, or how to make one."""
    found = _named(trade_offs(output, audit))
    if not found:
        st.info(_("No frontier lies among the audits or beside this checkpoint. Make one; made before, make it again:"))
        st.code(COMMAND, language=None, wrap_lines=True)
        return
    asked = st.query_params.get("frontier")
    if asked is not None and asked not in found:
        st.warning(plain(_("No frontier is called {name}.", name=repr(asked[:80]))))
    name = chosen(_("Frontier"), list(found), asked, "frontier-chosen", next(iter(found)))
    st.query_params["frontier"] = name
    each = found[name]
    if each.trade_off is None:
        st.error(plain(each.damage), icon=":material/broken_image:")
        return
    _draw(each.trade_off)


def _draw(found: TradeOff) -> None:
    private, plain_ = frontier.private_points(found), frontier.plain_points(found)
    if private.empty and plain_.empty:
        st.info(_("No model of this frontier has a result."))
    else:
        chart = frontier_chart(private, plain_, found.quality, found.floor)
        figure(chart, _("Quality of models over the epsilon that they claim."), frontier.table(found))
    for line in found.caption:
        st.caption(plain(line))
    for model, why in found.failures.items():
        st.warning(plain(_("{model} has no result: {why}", model=model, why=why)))


def _named(found: list[FoundTradeOff]) -> dict[str, FoundTradeOff]:
    """By the last two parts of their folders; where another one has the same, all but the first by their whole path."""
    named: dict[str, FoundTradeOff] = {}
    for each in found:
        short = f"{each.folder.parent.name}/{each.folder.name}"
        named[str(each.folder) if short in named else short] = each
    return named
