"""Page: any probe, also one of a suite without a page of its own, by the views that fit it."""

from __future__ import annotations

from dashboards.widgets.assemble import show_probes
from harness.base.language import _

show_probes("probe", lambda probe: True, _("This audit has no probes."))
