"""Imports point one way: dashboards -> harness; suites -> harness, privacy; privacy -> harness; harness -> none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "harness": {"harness"},
    "privacy": {"privacy", "harness"},
    "suites": {"suites", "harness", "privacy"},
    "dashboards": {"dashboards", "harness"},
}
LAZY = {
    ("harness/cli/training.py", "privacy"),
    ("harness/cli/tracking.py", "privacy"),
    ("harness/cli/validate.py", "privacy"),
    ("harness/cli/results.py", "dashboards"),
}
"""These files of the command line may start what they name, from inside a function."""


def imports(tree: ast.AST, *, top: bool = True) -> Iterator[tuple[str, bool]]:
    """Names of imported modules, and whether the import runs when the module is loaded."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the room they reach into"
            yield node.module or "", top
        yield from imports(node, top=top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_no_room_reaches_over_another(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files, f"{room} is empty"
    wrong = []
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        for module, top in imports(ast.parse(file.read_text(encoding="utf-8"))):
            target = module.split(".")[0]
            if target not in ALLOWED or target in ALLOWED[room] or ((name, target) in LAZY and not top):
                continue
            wrong.append(f"{name} imports {module}")
    assert wrong == []


def test_a_forbidden_import_would_be_found() -> None:
    found = list(imports(ast.parse("import suites.bias\ndef f():\n    from dashboards import app\n")))
    assert found == [("suites.bias", True), ("dashboards", False)]


def test_the_command_line_starts_without_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys; import harness.cli, harness.cli.console, harness.audit.plan, harness.audit.run;"
        "heavy = {'torch', 'transformers', 'mlflow', 'textattack', 'datasets', 'streamlit'} & set(sys.modules);"
        "sys.exit(f'loaded at start: {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
