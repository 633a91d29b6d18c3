"""A tab of a browser in which what a reader waits for is timed by the page's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.browser.server import find_chromium
from harness.errors import UsageError

PATIENCE = 120_000.0
"""Milliseconds after which what was waited for is a failure."""
_CLOCK = """
addEventListener('keydown', event => {
  if (event.key === 'Enter') { window.asked = performance.now(); window.ran = false }
}, true);
window.ran = true;
new MutationObserver(changes => {
  if (document.querySelector('[data-testid=stApp][data-test-script-state=running]')) window.ran = true;
}).observe(document, {subtree: true, attributes: true, attributeFilter: ['data-test-script-state']});
"""
_SAYS = """([said, whole]) => {
  const app = document.querySelector('[data-testid=stApp]');
  const page = app && app.querySelector('[data-testid=stMainBlockContainer]');  // without the menu, which names pages
  if (!page || !page.textContent.includes(said)) return 0;
  if (whole && !window.ran) return 0;
  if (whole && app.dataset.testScriptState !== 'notRunning') return 0;
  if (whole && app.querySelector('[data-testid=stSkeleton]')) return 0;
  return performance.now() - (window.asked || 0);
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A Chromium of this machine. Raises UsageError where there is none."""
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    if path is None:
        raise UsageError("no Chromium is installed; install one: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # root has no sandbox
        yield opened
        opened.close()


class Tab:
    """One tab; `context` keeps what the browser has cached."""

    def __init__(self, context: Any) -> None:
        self.page = context.new_page()
        self.page.add_init_script(_CLOCK)

    def opened(self, url: str, first: str, said: str) -> tuple[float, float]:
        """Seconds from asking for an address until the page says `first`, and until it says `said` and nothing comes.

        The menu, which has the names of all pages, counts for neither.
        """
        self.page.goto(url, wait_until="commit")
        return self._waited(first, False), self._waited(said, True)

    def asked(self, said: str) -> float:
        """Seconds from the last Enter until the page says `said` and nothing more comes."""
        return self._waited(said, True)

    def close(self) -> None:
        """Close it."""
        self.page.close()

    def _waited(self, said: str, whole: bool) -> float:
        found = self.page.wait_for_function(_SAYS, arg=[said, whole], polling="raf", timeout=PATIENCE)
        return float(found.json_value()) / 1e3
