"""Page: the probes of the suite quality, each by the views that fit it."""

from __future__ import annotations

from dashboards.widgets.assemble import show_probes
from harness.base.language import _

show_probes("quality", lambda probe: probe.startswith("quality/"), _("No probe of this audit is of the suite quality."))
