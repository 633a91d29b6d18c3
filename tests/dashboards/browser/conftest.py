"""A real browser on a real server, over audits made without a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.browser.server import find_chromium, serving
from tests.audit_folder import make_audit
from tests.dashboards.attacked import write_attacked

BLOCKED = "20260102T030405Z-sentiment-ab12"
PASSED = "20260103T000000Z-good-0001"


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; skips where there is none."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium; apt-get install chromium")
    return path


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[str]:
    """A dashboard over two audits of one checkpoint, one of which holds hostile text."""
    output = tmp_path_factory.mktemp("audits")
    write_attacked(make_audit(output, BLOCKED, rows=300))
    make_audit(output, PASSED, passes=True)
    with serving(output) as server:
        yield server.address


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])  # root has no sandbox
        yield opened
        opened.close()
