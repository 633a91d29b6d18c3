"""Pictures of every page of the dashboard for the docs, from the audits of `make audit`: `make screenshots`.

Which pages there are is read from the menu, so that a new one needs nothing here.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.browser.server import ROOT, serving
from benchmarks.browser.tab import chromium
from harness.base.stores import default_uri
from harness.errors import AssayError, Exit
from harness.record.folder import audits_in

FOLDER = ROOT / "docs" / "images"
BYTES = 150_000
"""Of one picture at most: all of them are cloned with the repository."""
_COLOURS = (128, 64, 32, 16)
_WIDE, _NARROW, _HEIGHT = 1280, 390, 900
_MENU = 3000
"""Pixels at which the menu shows every page; in less it folds the last ones away."""
_STILL = 2500
"""Milliseconds after the last message of the server in which charts are drawn."""


def main(arguments: Sequence[str]) -> int:
    """Take all pictures from the audits in a folder, `audits` by default."""
    output = Path(arguments[0] if arguments else "audits").absolute()
    audits = [folder.path.name for folder in audits_in(output)]
    if not audits:
        print(f"no audits in {output}; make some first: make audit", file=sys.stderr)  # noqa: T201
        return Exit.USAGE
    FOLDER.mkdir(exist_ok=True)
    try:
        with serving(output, default_uri(output)) as server, chromium() as browser:
            for name, picture in pictures(browser, server.address, audits):
                (FOLDER / f"dashboard-{name}.png").write_bytes(picture)
    except AssayError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return Exit.PASS


def pictures(browser: Any, address: str, audits: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Each page by its name, then the first one in the dark and on a phone; PNG."""
    with _tab(browser, width=_MENU) as tab:
        _open(tab, address)
        paths = tab.locator("[data-testid=stTopNavLink]").evaluate_all("links => links.map(link => link.pathname)")
    with _tab(browser) as tab:
        for path in paths:
            _open_telling(tab, f"{address}{path}", audits)
            yield path.strip("/") or "releases", small(tab.screenshot())
    varied: dict[str, dict[str, Any]] = {"dark": {"color_scheme": "dark"}, "narrow": {"width": _NARROW}}
    for name, settings in varied.items():
        with _tab(browser, **settings) as tab:
            _open(tab, address)
            yield f"releases-{name}", small(tab.screenshot())


def small(picture: bytes) -> bytes:
    """A PNG of at most `BYTES` where few enough colours can do that."""
    drawn = Image.open(io.BytesIO(picture)).convert("RGB")
    for colours in _COLOURS:
        out = io.BytesIO()
        drawn.quantize(colours).save(out, "PNG", optimize=True)
        if out.tell() <= BYTES:
            break
    return out.getvalue()


def _open_telling(tab: Any, url: str, audits: Sequence[str]) -> None:
    """Open a page for the first audit, newest first, for which it has more to tell than why it shows nothing."""
    for number, audit in enumerate(audits):
        others = "".join(f"&against={other}" for other in (*audits[number + 1 :], *audits[:number])[:1])
        _open(tab, f"{url}?audit={audit}{others}")
        if tab.locator("[data-testid=stAlertContentInfo]").count() == 0:
            return


def _open(tab: Any, url: str) -> None:
    tab.goto(url)
    tab.locator("[data-testid=stApp][data-test-script-state=notRunning] [data-testid=stMain]").wait_for(timeout=60_000)
    tab.wait_for_timeout(_STILL)


@contextmanager
def _tab(browser: Any, width: int = _WIDE, **settings: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": width, "height": _HEIGHT}, locale="en", **settings)
    yield context.new_page()
    context.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
