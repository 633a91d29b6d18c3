"""The process of the server: `python -m dashboards.server.serve run app.py --options`, as `streamlit` itself is called.

What the pages need is loaded, and the audits are read, before the first visitor asks for anything.
"""

from __future__ import annotations

import gc
import logging
import pkgutil
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Thread

import dashboards

_RUN_BY_STREAMLIT = ("app", "screens", "serve")
"""Scripts, run for each visitor, and this module."""
_FIRST_PAGE = 4.0
"""Seconds after which the first page is there, which opening an audit of many parts made 0.8 seconds later."""
_DRAWN_WITH = ("pandas.io.formats.style", "streamlit.elements.arrow", "streamlit.elements.vega_charts")
"""What is imported only by what uses it, which every page with a table or a chart does."""


def main() -> None:
    """Load, then serve; ends as Streamlit does."""
    preload()
    Thread(target=open_newest, daemon=True).start()  # however large they are, the server answers meanwhile
    from streamlit.web.cli import main as streamlit

    streamlit(prog_name="streamlit")


def preload() -> None:
    """Import every module of the pages and what they draw with, find plug-ins, read the audits; nothing is drawn.

    What fails here fails again, and is said, on the page that needs it.
    """
    logging.disable(logging.WARNING)  # Streamlit warns of every function that it caches before it runs
    for name in (*modules(Path(dashboards.__file__).parent, "dashboards"), *_DRAWN_WITH):
        with suppress(Exception):
            import_module(name)
    with suppress(Exception):
        _warm()
    logging.disable(logging.NOTSET)
    gc.collect()
    gc.freeze()  # Streamlit collects garbage after every run of a page: half a second among the objects of all modules


def open_newest() -> None:
    """Open the rows of the newest audit; what fails here is said on their page."""
    from dashboards import cache
    from dashboards.settings import read_settings

    time.sleep(_FIRST_PAGE)
    with suppress(Exception):
        cache.open_newest(read_settings())


def _warm() -> None:
    from dashboards.cache import warm
    from dashboards.settings import read_settings

    warm(read_settings())


def modules(folder: Path, package: str) -> list[str]:
    """Names of all modules below a package but those that Streamlit runs."""
    names = []
    for found in sorted(pkgutil.iter_modules([str(folder)]), key=lambda found: found.name):
        if found.name in _RUN_BY_STREAMLIT:
            continue
        names.append(f"{package}.{found.name}")
        if found.ispkg:
            names += modules(folder / found.name, names[-1])
    return names


if __name__ == "__main__":
    main()
