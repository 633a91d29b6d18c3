"""Who may import whom: the contracts in pyproject.toml, and that they would find a breach."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("harness", "privacy", "suites", "dashboards")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over the four rooms in `folder`, type-checking imports included."""
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command as lint; lint()"
    command = [sys.executable, "-P", "-c", code, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, to be spoilt."""
    folder = tmp_path_factory.mktemp("sources")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__", "*.csv", "*.jsonl"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_no_room_reaches_over_another_and_there_is_no_circle() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "7 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("harness/api/case.py", "import suites.words", "the four rooms"),
        ("dashboards/server/door.py", "import privacy.accounting", "a dashboard shows"),
        ("harness/gate/policy.py", "import harness.cli.console", "the rooms of the harness"),
        ("harness/stats/paired.py", "if TYPE_CHECKING:\n    import harness.data.pypi", "the rooms of the harness"),
        ("harness/checkpoint/files.py", "def f() -> None:\n    import harness.checkpoint.load", "no circle"),
        ("suites/adversarial/cases.py", "import suites.adversarial.harden", "the rooms of the adversarial suite"),
        ("privacy/ledger/lock.py", "import privacy.training.train", "the rooms of private training"),
    ],
)
def test_a_breach_would_be_found(copy: Path, file: str, line: str, contract: str) -> None:
    before = (copy / file).read_text(encoding="utf-8")
    typing = "from typing import TYPE_CHECKING\n" if "TYPE_CHECKING" in line else ""
    (copy / file).write_text(f"{before}\n{typing}{line}\n", encoding="utf-8")
    try:
        done = lint(copy)
    finally:
        (copy / file).write_text(before, encoding="utf-8")
    assert done.returncode == 1
    assert any(each.startswith(contract) and "BROKEN" in each for each in done.stdout.splitlines()), done.stdout


def test_a_room_that_nobody_placed_would_be_found(copy: Path) -> None:
    new = copy / "harness" / "somewhere.py"
    new.write_text("", encoding="utf-8")
    try:
        done = lint(copy)
    finally:
        new.unlink()
    assert done.returncode == 1
    assert "somewhere" in done.stdout


def test_the_command_line_starts_without_torch() -> None:
    code = (
        "import sys; import harness.cli, harness.cli.console, harness.audit.plan, harness.audit.run;"
        "heavy = {'torch', 'transformers', 'mlflow', 'textattack', 'datasets', 'streamlit'} & set(sys.modules);"
        "sys.exit(f'loaded at start: {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
