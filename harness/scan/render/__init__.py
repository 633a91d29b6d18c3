"""A scan's report for a terminal, as JSON and as SARIF."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.scan.finding import ScanReport
from harness.scan.render.as_json import as_json
from harness.scan.render.sarif import as_sarif
from harness.scan.render.terminal import as_text

FORMATS: Mapping[str, Callable[[ScanReport], str]] = {"terminal": as_text, "json": as_json, "sarif": as_sarif}
