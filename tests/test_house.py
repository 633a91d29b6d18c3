"""The counts that docs/design.md gives of the house are those of the code."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
TREES = ("harness", "privacy", "suites", "dashboards")
LONGEST = 60
"""Lines of a function, its signature and docstring among them."""


def lengths() -> dict[str, int]:
    """Lines of every function."""
    found: dict[str, int] = {}
    for tree in TREES:
        for path in (ROOT / tree).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    assert node.end_lineno is not None
                    found[f"{path}:{node.lineno} {node.name}"] = node.end_lineno - node.lineno + 1
    return found


def room(module: str) -> str:
    """The room of the harness that a module lies in, empty where it lies in none."""
    parts = module.split(".")
    return parts[1] if parts[0] == "harness" and len(parts) > 1 else ""


def test_functions_are_short() -> None:
    lines = lengths()
    assert len(lines) > 3_000
    assert not {name: count for name, count in lines.items() if count > LONGEST}


def test_rooms_of_the_harness_stand_on_each_other_as_the_design_says() -> None:
    graph = grimp.build_graph(*TREES, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert set(TopologicalSorter(imports).static_order()) == graph.modules, "no circle of files"
    arrows = {
        (room(one), room(other))
        for one, others in imports.items()
        for other in others
        if room(one) and room(other) and room(one) != room(other)
    }
    below = {one: {b for a, b in arrows if a == one} for one in {room(module) for module in graph.modules} - {""}}
    floors: dict[str, int] = {}
    for one in TopologicalSorter(below).static_order():
        floors[one] = 1 + max((floors[each] for each in below[one]), default=0)
    said = re.search(r"(\d+) rooms on (\d+) floors with about (\d+) arrows", (ROOT / "docs" / "design.md").read_text())
    assert said is not None
    assert (len(below), max(floors.values())) == (int(said[1]), int(said[2]))
    assert abs(len(arrows) - int(said[3])) <= 0.1 * int(said[3])
