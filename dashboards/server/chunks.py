"""The scripts that a page's elements are drawn by, which a browser may fetch while the server still writes the page.

Streamlit loads each kind of element when the first one comes: a table's scripts of 1.3 MB were asked for when all
else was there. Which files they are stands in the manifest that Streamlit's build leaves beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import streamlit

_MANIFEST = Path(streamlit.__file__).parent / "static" / "manifest.json"
_ENTRY = "index.html"
"""What every page loads anyway."""
_TABLE, _CHART = "ReadOnlyGrid", "ArrowVegaLiteChart"
_PROBE = ("Selectbox", "ButtonGroup", "Checkbox", "PageLink", _CHART, _TABLE)
_ELEMENTS = {
    "": ("Pagination", "PageLink", _TABLE),
    "audits": ("TextInput", "Multiselect", _TABLE),
    "audit": ("Selectbox", "Table", "Checkbox", "PageLink", _TABLE),
    "compare": ("Selectbox", "Multiselect", "Checkbox", _TABLE),
    "bias": _PROBE,
    "quality": _PROBE,
    "probe": _PROBE,
    "memorization": ("Selectbox", "PageLink", _CHART, _TABLE),
    "rows": ("Selectbox", "Checkbox", "TextInput", "Multiselect", "Pagination", "DownloadButton", _TABLE),
    "attacks": ("Selectbox", "Checkbox", "Multiselect", "PageLink"),
}
"""Kinds of elements by page; one that is not named here is fetched when it is drawn."""


def early_script(page: str) -> str:
    """JavaScript that has the browser fetch a page's scripts; names of files of Streamlit's build stand in it."""
    return (
        f"for (const name of {json.dumps(chunks(page))}) {{ const link = document.createElement('link'); "
        "link.rel = 'modulepreload'; link.crossOrigin = ''; "
        "link.href = new URL(name, document.querySelector('script[type=module][src]').src); "
        "document.head.append(link) }"
    )


@cache
def chunks(page: str) -> tuple[str, ...]:
    """Names of the files that draw a page's elements, beside those that every page loads."""
    manifest: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        manifest = json.loads(_MANIFEST.read_text(encoding="utf-8"))
    return needed(manifest, _ELEMENTS.get(page, ()))


def needed(manifest: Mapping[str, Mapping[str, Any]], elements: Iterable[str]) -> tuple[str, ...]:
    """Files of a build's manifest that draw `elements`, what they import with them, but what the entry imports."""
    known = set(_imported(manifest, [_ENTRY]))
    asked = [key for element in elements for key in manifest if Path(key).stem == element and "/" in key]
    files = dict.fromkeys(manifest[key]["file"] for key in _imported(manifest, asked) if key not in known)
    return tuple(Path(file).name for file in files)


def _imported(manifest: Mapping[str, Mapping[str, Any]], keys: Iterable[str]) -> Iterator[str]:
    """These parts of the build and all that they import, each once."""
    waiting, seen = list(keys), set()
    while waiting:
        key = waiting.pop(0)
        if key in manifest and key not in seen:
            seen.add(key)
            yield key
            waiting += manifest[key].get("imports", [])
