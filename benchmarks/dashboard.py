"""What somebody waits for in front of the dashboard, in a real browser: 200 audits, and one of a million rows.

There is no peer that shows an audit's rows; ours is held against the bounds that were set. Beside each page stands what
an empty page of Streamlit costs in the same run (`floor`), which no page made with it can beat. Cold: the first page
that a server is asked for, by a browser that has cached nothing. Warm: the next ones. Seconds are medians of wall-clock
by the page's own clock, on a machine whose load stands beside; `processor` counts those of browser and server together,
which other work on the machine changes less than the clock.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.browser.audits import AUDITS, LARGE, PROBE, RARE, ROWS, many_audits, many_rows
from benchmarks.browser.server import processor, serving
from benchmarks.browser.tab import Tab, chromium
from benchmarks.report import Cell
from dashboards.server import launch

PEERS = ("streamlit", "duckdb", "playwright")
WAIT, MEMORY = 1.0, 1000.0
"""Bounds: seconds of any page and any answer, megabytes of the server whatever is opened."""
COLD, WARM = 2, 5
PRELOADED = "dashboards.server.serve"
"""Module that the dashboard is served by; an empty page is served by Streamlit alone."""
EMPTY = "import streamlit as st\nst.set_page_config(layout='wide')\nst.title('Empty')\n"


def run() -> list[Cell]:
    """Seconds to each page and each answer, cold and warm; megabytes."""
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as scratch, chromium() as browser:
        output = Path(scratch) / "audits"
        ids = many_audits(output)
        many_rows(output)
        floor = Floor(Path(scratch), browser)
        return [*_cold(output, browser, floor), *_warm(output, ids, browser, floor)]


@dataclass(frozen=True, slots=True)
class Taken:
    """Medians of some repeats: `seconds` on the clock, and of processor, browser and server together."""

    seconds: float
    processor: float


class Floor:
    """An empty page with a title: what it takes until it is there, `cold` and `warm`."""

    def __init__(self, folder: Path, browser: Any) -> None:
        app = folder / "empty.py"
        app.write_text(EMPTY, encoding="utf-8")
        words = [str(app) if word == str(launch.APP) else word for word in launch.command(0)]
        words[words.index("--server.port") + 1] = "{port}"
        words[words.index(PRELOADED)] = "streamlit"
        cold = []
        for _ in range(COLD):
            with serving(folder, words=words) as server, _context(browser) as context:
                cold.append(_opened(Tab(context), server.address, "Empty", True))
                self.warm = _each(context, server.address, "Empty", True)
        self.cold = _median(cold)


def _cold(output: Path, browser: Any, floor: Floor) -> Iterator[Cell]:
    """First pages of servers that have just been started."""
    asked = {
        "board": ("", "Releases", False),
        "board, all of it": ("", "blocked", True),
        f"rows page of {ROWS:,}": (_rows(), f"{ROWS:,} of {ROWS:,} rows", True),
    }
    for name, (path, said, whole) in asked.items():
        taken, starts = [], []
        for _ in range(COLD):
            with serving(output) as server, _context(browser) as context:
                taken.append(_opened(Tab(context), f"{server.address}/{path}", said, whole))
                starts.append(server.started)
        yield _page(f"{name}, cold", _median(taken), floor.cold, start=median(starts))


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
        for name, (path, said, whole) in pages.items():
            yield _page(name, _each(context, f"{server.address}/{path}", said, whole), floor.warm)
        for name, answer in {"filter": _status, "text search": _search, "sort": _sort}.items():
            taken = _answers(context, server.address, answer)
            case = f"answer of a {name} over {ROWS:,} rows: seconds"
            yield _cell(case, taken.seconds, processor=taken.processor)
        yield _cell("memory of the server, most over all of this: MB", server.peak / 1e6, MEMORY)


def _answers(context: Any, address: str, answer: Callable[[Tab, int], float]) -> Taken:
    taken = []
    for number in range(WARM):
        tab = Tab(context)
        tab.opened(f"{address}/{_rows()}", f"{ROWS:,} of {ROWS:,} rows")
        taken.append(_counted(lambda tab=tab, number=number: answer(tab, number)))  # type: ignore[misc]
        tab.close()
    return _median(taken)


def _status(tab: Tab, _number: int) -> float:
    return _chosen(tab, "Status", "error", f"{ROWS // 20:,} of {ROWS:,} rows")


def _search(tab: Tab, number: int) -> float:
    tab.page.get_by_label("Text contains").fill(RARE[number])
    tab.page.keyboard.press("Enter")
    return tab.asked(f"{ROWS // 1000 // len(RARE):,} of {ROWS:,} rows")


def _sort(tab: Tab, _number: int) -> float:
    return _chosen(tab, "Sort by", "probability", f"{ROWS:,} of {ROWS:,} rows")


def _chosen(tab: Tab, label: str, choice: str, said: str) -> float:
    tab.page.get_by_label(label).click()
    tab.page.keyboard.type(choice)
    tab.page.keyboard.press("Enter")
    return tab.asked(said)


def _each(context: Any, url: str, said: str, whole: bool) -> Taken:
    """Over new tabs, after one that warms what there is to warm."""
    taken = []
    for _ in range(WARM + 1):
        tab = Tab(context)
        taken.append(_opened(tab, url, said, whole))
        tab.close()
    return _median(taken[1:])


def _opened(tab: Tab, url: str, said: str, whole: bool) -> Taken:
    return _counted(lambda: tab.opened(url, said, whole=whole))


def _counted(work: Callable[[], float]) -> Taken:
    before = processor()
    seconds = work()
    return Taken(seconds, sum(after - before.get(pid, 0.0) for pid, after in processor().items()))


def _median(taken: Sequence[Taken]) -> Taken:
    return Taken(median(each.seconds for each in taken), median(each.processor for each in taken))


@contextmanager
def _context(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


def _rows(**query: str) -> str:
    asked = {"audit": LARGE, "probe": PROBE, **query}
    return "rows?" + "&".join(f"{name}={value}" for name, value in asked.items())


def _page(case: str, taken: Taken, floor: Taken, **extra: float) -> Cell:
    beside = {"floor": floor.seconds, "processor": taken.processor, "floor_processor": floor.processor}
    return _cell(f"{case}: seconds", taken.seconds, **beside, **extra)


def _cell(case: str, ours: float, bound: float = WAIT, **extra: float) -> Cell:
    rounded = {name: float(f"{value:.3g}") for name, value in extra.items()}
    return Cell(case, ours, bound, 1.0, lower_is_better=True, extra={**rounded, "load": round(os.getloadavg()[0], 1)})
