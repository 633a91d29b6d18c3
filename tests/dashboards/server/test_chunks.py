from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dashboards.server import chunks
from dashboards.server.chunks import early_script, needed

BUILD: dict[str, dict[str, Any]] = {
    "index.html": {"file": "static/js/index.1.js", "imports": ["_react.js"]},
    "_react.js": {"file": "static/js/react.2.js"},
    "lib/Table/Table.tsx": {"file": "static/js/Table.3.js", "imports": ["_react.js", "_arrow.js"]},
    "lib/Grid/Grid.tsx": {"file": "static/js/Grid.4.js", "imports": ["_arrow.js", "_grid.js"]},
    "_arrow.js": {"file": "static/js/arrow.5.js", "imports": ["_react.js", "_grid.js"]},
    "_grid.js": {"file": "static/js/grid.6.js", "imports": ["_arrow.js"]},
}


def test_an_element_needs_its_file_and_all_that_this_imports_each_once() -> None:
    assert needed(BUILD, ["Table", "Grid"]) == ("Table.3.js", "Grid.4.js", "arrow.5.js", "grid.6.js")
    assert needed(BUILD, ["Unheard"]) == ()


def test_every_element_that_is_named_is_in_the_build_that_is_installed() -> None:
    manifest = json.loads(chunks._MANIFEST.read_text())
    named = {element for elements in chunks._ELEMENTS.values() for element in elements}
    assert [element for element in named if not needed(manifest, [element])] == []
    assert all((chunks._MANIFEST.parent / "static" / "js" / file).is_file() for file in chunks.chunks("rows"))


def test_a_build_without_a_manifest_tells_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(chunks, "_MANIFEST", tmp_path / "absent.json")
    chunks.chunks.cache_clear()
    assert "of []" in early_script("rows").replace("()", "[]")
    chunks.chunks.cache_clear()
