"""Metrics of a probe that still runs, for whoever watches."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.audit.measure import measure
from harness.audit.plan import PlannedProbe
from harness.base.plugins import PluginError
from harness.errors import AssayError
from harness.record.events import EventLog
from harness.record.folder import AuditFolder

SECONDS = 60.0
"""Until the first look, and between two at least: audits that end sooner need none."""
_TIMES = 50
"""Of what the last look took: looking takes at most 2 % of an audit."""
_SHARE = 10
"""Looks grow further apart, to a tenth of the time so far, so that their number grows by its logarithm."""


class SoFar:
    """Measures the rows of one probe from time to time."""

    def __init__(
        self, planned: PlannedProbe, folder: AuditFolder, log: EventLog, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._planned = planned
        self._folder = folder
        self._log = log
        self._clock = clock
        self._began = self._looked = clock()
        self._wait = SECONDS

    def look(self, finished: int) -> None:
        """Tell the metrics over the `finished` cases, if it is time; not over all cases, which will be measured."""
        began = self._clock()
        if began - self._looked < self._wait or finished >= len(self._planned.cases):
            return
        try:
            metrics = measure(self._planned, self._folder)
        except (AssayError, PluginError):  # will be said when it is measured in earnest
            metrics = []
        self._log.metrics(metrics, final=False)
        self._looked = self._clock()
        took = self._looked - began
        self._wait = max(SECONDS, _TIMES * took, (self._looked - self._began) / _SHARE)
