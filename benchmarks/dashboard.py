"""What somebody waits for in front of the dashboard, in a real browser: 200 audits, and one of a million rows.

There is no peer that shows an audit's rows; ours is held against the bounds that were set. Beside each page stands what
an empty page of Streamlit costs in the same run (`floor`), which no page made with it can beat. Cold: the first page
that a server is asked for, by a browser that has cached nothing. Warm: the next ones. Seconds are medians of wall-clock
by the page's own clock, on a machine whose load stands beside.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.browser.audits import AUDITS, LARGE, PROBE, RARE, ROWS, many_audits, many_rows
from benchmarks.browser.server import serving
from benchmarks.browser.tab import Tab, chromium
from benchmarks.report import Cell
from dashboards import launch

PEERS = ("streamlit", "duckdb", "playwright")
WAIT, MEMORY = 1.0, 1000.0
"""Bounds: seconds of any page and any answer, megabytes of the server whatever is opened."""
COLD, WARM = 3, 7
EMPTY = "import streamlit as st\nst.set_page_config(layout='wide')\nst.title('Empty')\n"


def run() -> list[Cell]:
    """Seconds to each page and each answer, cold and warm; megabytes."""
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as scratch, chromium() as browser:
        output = Path(scratch) / "audits"
        ids = many_audits(output)
        many_rows(output)
        floor = Floor(Path(scratch), browser)
        return [*_cold(output, browser, floor), *_warm(output, ids, browser, floor)]


class Floor:
    """An empty page with a title: `cold` and `warm` seconds until it is there."""

    def __init__(self, folder: Path, browser: Any) -> None:
        app = folder / "empty.py"
        app.write_text(EMPTY, encoding="utf-8")
        words = [str(app) if word == str(launch.APP) else word for word in launch.command(0)]
        words[words.index("--server.port") + 1] = "{port}"
        words[1:5] = ["-P", "-m", "streamlit", "run"]
        cold = []
        for _ in range(COLD):
            with serving(folder, words=words) as server, _context(browser) as context:
                cold.append(Tab(context).opened(server.address, "Empty"))
                again = _each(context, lambda tab: tab.opened(server.address, "Empty"))
        self.cold, self.warm = median(cold), again


def _cold(output: Path, browser: Any, floor: Floor) -> Iterator[Cell]:
    """First pages of servers that have just been started."""
    asked = {
        "board": ("", "Releases", False),
        "board, all of it": ("", "blocked", True),
        f"rows page of {ROWS:,}": (_rows(), f"{ROWS:,} of {ROWS:,} rows", True),
    }
    for name, (path, said, whole) in asked.items():
        times, starts = [], []
        for _ in range(COLD):
            with serving(output) as server, _context(browser) as context:
                times.append(Tab(context).opened(f"{server.address}/{path}", said, whole=whole))
                starts.append(server.started)
        yield _cell(f"{name}, cold: seconds", median(times), floor=floor.cold, start=median(starts))


def _warm(output: Path, ids: list[str], browser: Any, floor: Floor) -> Iterator[Cell]:
    """Pages and answers of one server, which then has shown everything."""
    filtered = _rows(status="ok", contains=RARE[-1], by="correct", sort="probability")
    pages = {
        f"board of {AUDITS} audits": ("", "Releases", False),
        f"board of {AUDITS} audits, all of it": ("", "blocked", True),
        f"table of {AUDITS} audits": ("audits", f"{AUDITS + 1} of {AUDITS + 1} audits", True),
        "audit by deep link": (f"audit?audit={ids[7]}", "Provenance", True),
        "compare of two audits": (f"compare?audit={ids[7]}&against={ids[8]}", "against", True),
        f"rows page of {ROWS:,}": (_rows(), f"{ROWS:,} of {ROWS:,} rows", True),
        f"rows page of {ROWS:,} by deep link with filters": (filtered, f"100 of {ROWS:,} rows", True),
        "report": (f"report?audit={ids[7]}", "Download", True),
    }
    with serving(output) as server, _context(browser) as context:
        Tab(context).opened(server.address, "Releases")
        for name, (path, said, whole) in pages.items():
            taken = _each(
                context,
                lambda tab, path=path, said=said, whole=whole: tab.opened(
                    f"{server.address}/{path}", said, whole=whole
                ),
            )
            yield _cell(f"{name}: seconds", taken, floor=floor.warm)
        for name, answer in {"filter": _status, "text search": _search, "sort": _sort}.items():
            yield _cell(f"answer of a {name} over {ROWS:,} rows: seconds", _answers(context, server.address, answer))
        yield _cell("memory of the server, most over all of this: MB", server.peak / 1e6, MEMORY)


def _answers(context: Any, address: str, answer: Callable[[Tab, int], float]) -> float:
    times = []
    for number in range(WARM):
        tab = Tab(context)
        tab.opened(f"{address}/{_rows()}", f"{ROWS:,} of {ROWS:,} rows")
        times.append(answer(tab, number))
        tab.close()
    return median(times)


def _status(tab: Tab, number: int) -> float:
    tab.page.get_by_label("Status").click()
    tab.page.keyboard.type("error")
    tab.page.keyboard.press("Enter")
    return tab.asked(f"{ROWS // 20:,} of {ROWS:,} rows")


def _search(tab: Tab, number: int) -> float:
    tab.page.get_by_label("Text contains").fill(RARE[number])
    tab.page.keyboard.press("Enter")
    return tab.asked(f"{ROWS // 1000 // len(RARE):,} of {ROWS:,} rows")


def _sort(tab: Tab, number: int) -> float:
    tab.page.get_by_label("Sort by").click()
    tab.page.keyboard.type("probability")
    tab.page.keyboard.press("Enter")
    return tab.asked(f"{ROWS:,} of {ROWS:,} rows")


def _each(context: Any, opened: Callable[[Tab], float]) -> float:
    """Median over new tabs, after one that warms what there is to warm."""
    times = []
    for _ in range(WARM + 1):
        tab = Tab(context)
        times.append(opened(tab))
        tab.close()
    return median(times[1:])


@contextmanager
def _context(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


def _rows(**query: str) -> str:
    asked = {"audit": LARGE, "probe": PROBE, **query}
    return "rows?" + "&".join(f"{name}={value}" for name, value in asked.items())


def _cell(case: str, ours: float, bound: float = WAIT, **extra: float) -> Cell:
    rounded = {name: float(f"{value:.3g}") for name, value in extra.items()}
    return Cell(case, ours, bound, 1.0, lower_is_better=True, extra={**rounded, "load": round(os.getloadavg()[0], 1)})
