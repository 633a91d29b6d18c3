"""A real browser on a real server, over audits made without a model."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dashboards.server.launch import command, environment
from dashboards.settings import Access
from tests.audit_folder import make_audit
from tests.dashboards.attacked import write_attacked
from tests.dashboards.swapped import write_swapped

BLOCKED = "20260102T030405Z-sentiment-ab12"
PASSED = "20260103T000000Z-good-0001"
PATIENCE = 120_000
"""Milliseconds: a page comes when it does, on a machine that does other things too."""


class Visit:
    """A page in a tab of its own, with what its console said."""

    def __init__(self, browser: Any, address: str, **settings: Any) -> None:
        self._context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        self._context.set_default_timeout(PATIENCE)
        self.tab = self._context.new_page()
        self.errors: list[str] = []
        self._address = address
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.tab.on("dialog", lambda dialog: self.errors.append(f"dialog: {dialog.message}"))

    def go(self, path: str, said: str) -> Any:
        """Open a page and wait for what it says; the tab."""
        self.tab.goto(f"{self._address}/{path}")
        self.tab.get_by_text(said).first.wait_for()
        self.tab.locator("[data-testid=stSkeleton]").first.wait_for(state="detached")
        return self.tab

    def ours(self) -> list[str]:
        """Errors but for those of Streamlit itself, which asks for its own health below a page's path."""
        return [error for error in self.errors if "404" not in error]

    def close(self) -> None:
        self._context.close()


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; skips where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium; apt-get install chromium")
    return path


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[str]:
    """A dashboard over two audits of one checkpoint, one of which holds hostile text."""
    output = tmp_path_factory.mktemp("audits")
    folder = make_audit(output, BLOCKED, rows=300)
    write_attacked(folder)
    write_swapped(folder)
    make_audit(output, PASSED, passes=True)
    with served(output, tmp_path_factory.mktemp("cache")) as address:
        yield address


def free_port() -> int:
    """A port that nothing listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return int(free.getsockname()[1])


@contextmanager
def served(
    output: Path,
    cache: Path,
    access: Access | None = None,
    sign_in: Path | None = None,
    port: int | None = None,
    **variables: str,
) -> Iterator[str]:
    """A dashboard over `output` while it lasts, and its address; its working folder is `cache`."""
    port = port or free_port()
    given = {**os.environ, **environment(output, None, access), "ASSAY_CACHE": str(cache), **variables}
    given["PYTHONPATH"] = str(Path(__file__).parents[3])
    server = subprocess.Popen(command(port, sign_in), env=given, cwd=cache)
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health", server)
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])  # root has no sandbox
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    made = Visit(browser, address)
    yield made
    made.close()


def grave_faults(tab: Any) -> list[str]:
    """Serious accessibility faults of a page, by axe-core."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(tab).response["violations"]
    grave = [each for each in found if each["impact"] in ("serious", "critical")]
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in grave]


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(1800):  # the server loads and reads before it answers
        assert server.poll() is None, "the dashboard ended"
        try:
            urllib.request.urlopen(url).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer")
