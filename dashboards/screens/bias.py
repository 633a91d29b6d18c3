"""Page: the probes of the suite bias, each by the views that fit it."""

from __future__ import annotations

from dashboards.widgets.assemble import show_probes
from harness.base.language import _

show_probes("bias", lambda probe: probe.startswith("bias/"), _("No probe of this audit is of the suite bias."))
