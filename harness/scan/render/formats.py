"""The formats of a scan's report, by the name the command line gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.scan.finding import ScanReport
from harness.scan.render.as_json import as_json
from harness.scan.render.sarif import as_sarif
from harness.scan.render.terminal import as_text

FORMATS: Mapping[str, Callable[[ScanReport], str]] = {"terminal": as_text, "json": as_json, "sarif": as_sarif}
