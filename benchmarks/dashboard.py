"""What somebody waits for in front of the dashboard, in a real browser: 200 audits, and one of a million rows.

There is no peer that shows an audit's rows; ours is held against the bounds that were set. Beside each page stands what
an empty page of Streamlit costs (`floor`), which no page made with it can beat; beside the rows page also what its
controls cost over a constant table. Cold: the first page that a server is asked for, by a browser that has cached
nothing. Warm: the next ones. Seconds are medians of wall-clock by the page's own clock, each page in turn with its
floor, on a machine whose load stands beside; `processor` counts those of browser and server together, which other work
on the machine changes less than the clock. First paint: the first words of the page itself are there; all of it: its
last words are, and nothing more comes.
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

from benchmarks.browser.audits import (
    AUDITS,
    LARGE,
    PARTED,
    PARTED_ROWS,
    PARTS,
    PROBE,
    RARE,
    ROWS,
    many_audits,
    many_parts,
    many_rows,
)
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
CONTROLS = """
import pandas as pd
import streamlit as st
st.set_page_config(layout="wide")
st.title("Controls")
for label in ("audit", "probe", "status", "by", "value", "Sort by"):
    st.selectbox(label, ["one", "two"])
st.checkbox("show")
st.text_input("contains")
st.pagination(100)
st.multiselect("columns", ["one", "two"])
st.dataframe(pd.DataFrame({f"column {n}": ["some words"] * 100 for n in range(8)}), on_select="rerun")
st.button("CSV")
st.text("All of it")
"""
"""What the rows page is drawn with, without rows, languages, links and ten other pages in its menu."""

_OTHERS = 5
"""Audits beside those: of a million rows, of many parts, and of what the pages that those have nothing for show."""


def run() -> list[Cell]:
    """Seconds to each page and each answer, cold and warm; megabytes."""
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as scratch, chromium() as browser:
        output = Path(scratch) / "audits"
        ids = many_audits(output)
        many_rows(output)
        many_parts(output)
        pages = _pages(ids, _found_out(output))
        floor = Floor(Path(scratch))
        return [*_cold(output, pages, browser, floor), *_warm(output, pages, browser, floor)]


def _found_out(output: Path) -> dict[str, str]:
    """Write an audit of attacks and of swapped groups, a better one, and one of what a training kept; their ids."""
    from tests.audit_folder import make_audit
    from tests.dashboards.attacked import write_attacked
    from tests.dashboards.memorization.kept import make_kept
    from tests.dashboards.swapped import write_swapped

    swapped = make_audit(output, rows=300)
    write_attacked(swapped)
    write_swapped(swapped)
    good = make_audit(output, "20260103T000000Z-good-0001", passes=True, rows=300)
    made = {"swapped": swapped, "good": good, "kept": make_kept(output)}
    return {name: folder.path.name for name, folder in made.items()}


@dataclass(frozen=True, slots=True)
class Page:
    """A page at `path`: what stands there when a reader has something to read, and when all of it is there."""

    path: str
    first: str
    said: str


FLOOR = Page("", "Empty", "Empty")
FLOOR_CONTROLS = Page("", "All of it", "All of it")


def _pages(ids: list[str], made: dict[str, str]) -> dict[str, Page]:
    filtered = _rows(status="ok", contains=RARE[-1], by="correct", sort="probability")
    counted, all_rows = f"{AUDITS + _OTHERS} of {AUDITS + _OTHERS} audits", f"{ROWS:,} of {ROWS:,} rows"
    gap, parts = "bias/counterfactual", _rows(audit=PARTED)
    return {
        f"board of {AUDITS} audits": Page("", "Releases", "blocked"),
        f"table of {AUDITS} audits": Page("audits", "Audits", counted),
        "audit by deep link": Page(f"audit?audit={ids[7]}", "A gate decides on the interval", "Provenance"),
        "compare": Page(f"compare?audit={made['good']}&against={made['swapped']}", " against ", " against "),
        "attacks": Page(f"attacks?audit={made['swapped']}&probe=adversarial/deepwordbug", "of 3 texts", "case case-0"),
        "bias": Page(f"bias?audit={made['swapped']}&probe={gap}", "It cannot tell", "choose one by name"),
        "quality": Page(f"quality?audit={ids[7]}", "It cannot tell", "Show texts"),
        "memorization": Page(f"memorization?audit={made['kept']}", "Claimed and audited epsilon", "What was spent"),
        f"rows page of {ROWS:,}": Page(_rows(), all_rows, all_rows),
        f"rows page of {ROWS:,} by deep link with filters": Page(
            filtered, f"100 of {ROWS:,} rows", f"100 of {ROWS:,} rows"
        ),
        f"rows page of {PARTS:,} parts": Page(parts, f"{PARTED_ROWS:,} of", f"{PARTED_ROWS:,} of {PARTED_ROWS:,} rows"),
        "live": Page("live", "No audit is running", "No audit is running"),
        "start": Page("start", "Here you may look at audits", "Here you may look at audits"),
        "report": Page(f"report?audit={ids[7]}", "Download", "Download"),
    }


@dataclass(frozen=True, slots=True)
class Taken:
    """Medians of some repeats: seconds on the clock to the first paint and to the whole page, and of processor.

    The last are those of browser and server together. An answer has no first paint.
    """

    first: float
    whole: float
    processor: float


class Floor:
    """Pages of Streamlit alone: an empty one with a title, and one of the rows page's controls over a constant table.

    They are opened in turn with the pages that are measured, as a machine is faster in one minute than in the next.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name, text in {"empty": EMPTY, "controls": CONTROLS}.items():
            (folder / f"{name}.py").write_text(text, encoding="utf-8")

    @contextmanager
    def served(self, name: str = "empty") -> Iterator[str]:
        """Address of the page while it is served."""
        app = str(self._folder / f"{name}.py")
        words = [app if word == str(launch.APP) else word for word in launch.command(0)]
        words[words.index("--server.port") + 1] = "{port}"
        words[words.index(PRELOADED)] = "streamlit"
        with serving(self._folder, words=words) as server:
            yield server.address


def _cold(output: Path, pages: dict[str, Page], browser: Any, floor: Floor) -> Iterator[Cell]:
    """First pages of servers that have just been started."""
    for name in (f"board of {AUDITS} audits", "audit by deep link", f"rows page of {ROWS:,}"):
        taken, empty, starts = [], [], []
        for _ in range(COLD):
            with floor.served() as address, _context(browser) as context:
                empty.append(_opened(Tab(context), address, FLOOR))
            with serving(output) as server, _context(browser) as context:
                taken.append(_opened(Tab(context), server.address, pages[name]))
                starts.append(server.started)
        yield from _cells(f"{name}, cold", _median(taken), _median(empty), start=median(starts))


def _warm(output: Path, pages: dict[str, Page], browser: Any, floor: Floor) -> Iterator[Cell]:
    """Pages and answers of one server, which then has shown everything."""
    with serving(output) as server, floor.served() as empty, _context(browser) as context:
        for name, page in pages.items():
            taken, least = _in_turn(context, (server.address, page), (empty, FLOOR))
            yield from _cells(name, taken, least)
        rows = pages[f"rows page of {ROWS:,}"]
        with floor.served("controls") as controls:
            taken, least = _in_turn(context, (server.address, rows), (controls, FLOOR_CONTROLS))
            yield from _cells(f"rows page of {ROWS:,}, beside its controls alone", taken, least)
        for name, answer in {"filter": _status, "text search": _search, "sort": _sort}.items():
            taken = _answers(context, server.address, answer)
            case = f"answer of a {name} over {ROWS:,} rows: seconds"
            yield _cell(case, taken.whole, processor=taken.processor)
        menu = _menu(context, server.address, pages[f"table of {AUDITS} audits"])
        yield _cell("from the board to all audits by the menu: seconds", menu.whole, processor=menu.processor)
        yield _cell("memory of the server, most over all of this: MB", server.peak / 1e6, MEMORY)


def _answers(context: Any, address: str, answer: Callable[[Tab, int], float]) -> Taken:
    taken = []
    for number in range(WARM):
        tab = Tab(context)
        tab.opened(f"{address}/{_rows()}", "Sort by", f"{ROWS:,} of {ROWS:,} rows")
        taken.append(_counted(lambda tab=tab, number=number: (0.0, answer(tab, number))))  # type: ignore[misc]
        tab.close()
    return _median(taken)


def _menu(context: Any, address: str, page: Page) -> Taken:
    taken = []
    for _ in range(WARM):
        tab = Tab(context)
        tab.opened(address, "Releases", "blocked")
        tab.page.get_by_test_id("stTopNavLink").get_by_text("Audits", exact=True).locator("xpath=ancestor::a").focus()
        tab.page.keyboard.press("Enter")
        taken.append(_counted(lambda tab=tab: (0.0, tab.asked(page.said))))  # type: ignore[misc]
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


def _in_turn(context: Any, *asked: tuple[str, Page]) -> list[Taken]:
    """Of each page at its server, over new tabs in turn, after one that warms what there is to warm."""
    taken: list[list[Taken]] = [[] for _ in asked]
    for _ in range(WARM + 1):
        for (address, page), found in zip(asked, taken, strict=True):
            tab = Tab(context)
            found.append(_opened(tab, address, page))
            tab.close()
    return [_median(found[1:]) for found in taken]


def _opened(tab: Tab, address: str, page: Page) -> Taken:
    return _counted(lambda: tab.opened(f"{address}/{page.path}", page.first, page.said))


def _counted(work: Callable[[], tuple[float, float]]) -> Taken:
    before = processor()
    first, whole = work()
    return Taken(first, whole, sum(after - before.get(pid, 0.0) for pid, after in processor().items()))


def _median(taken: Sequence[Taken]) -> Taken:
    return Taken(*(median(getattr(each, part) for each in taken) for part in ("first", "whole", "processor")))


@contextmanager
def _context(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


def _rows(**query: str) -> str:
    asked = {"audit": LARGE, "probe": PROBE, **query}
    return "rows?" + "&".join(f"{name}={value}" for name, value in asked.items())


def _cells(case: str, taken: Taken, floor: Taken, **extra: float) -> Iterator[Cell]:
    beside = {"processor": taken.processor, "floor_processor": floor.processor}
    yield _cell(f"{case}, first paint: seconds", taken.first, floor=floor.first)
    yield _cell(f"{case}, all of it: seconds", taken.whole, floor=floor.whole, **beside, **extra)


def _cell(case: str, ours: float, bound: float = WAIT, **extra: float) -> Cell:
    rounded = {name: float(f"{value:.3g}") for name, value in extra.items()}
    return Cell(case, ours, bound, 1.0, lower_is_better=True, extra={**rounded, "load": round(os.getloadavg()[0], 1)})
