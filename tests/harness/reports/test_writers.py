from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.reports import find_writers, write_reports
from harness.reports.api import ReportInput
from tests.harness.reports.inputs import by_hand

Plug = Callable[..., EntryPoint]


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    """Makes an entry point of a module made up on the spot."""

    def make(name: str, render: Any, suffix: Any = None) -> EntryPoint:
        module = ModuleType(f"plugin_{name.replace('-', '_')}")
        module.__dict__.update({"render": render} | ({"suffix": suffix} if suffix is not None else {}))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return EntryPoint(name, f"{module.__name__}:render", "assay.reports")

    return make


OWN = [
    EntryPoint("html", "harness.reports.html:render", "assay.reports"),
    EntryPoint("markdown", "harness.reports.markdown:render", "assay.reports"),
]


def write(folder: Path, points: list[EntryPoint]) -> dict[str, str]:
    report = by_hand()
    return write_reports(folder, report.manifest, report.metrics, report.verdict, points)


def outcome(report: ReportInput) -> str:
    return str(report.verdict.outcome)


def explode(report: ReportInput) -> str:
    raise KeyError(report.manifest.name)


def test_formats_lie_side_by_side(tmp_path: Path, plug: Plug) -> None:
    assert write(tmp_path, [plug("a-line", outcome, ".txt"), *OWN]) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md", "report.txt"]
    assert (tmp_path / "report.txt").read_text() == "block"
    assert (tmp_path / "report.md").read_text().startswith("# BLOCK: toy")


def test_a_plug_in_cannot_take_the_place_of_our_own(tmp_path: Path, plug: Plug) -> None:
    assert write(tmp_path, [plug("a", outcome, ".html"), *OWN]) == {}
    assert (tmp_path / "report-a.html").read_text() == "block"
    assert "<!DOCTYPE html>" in (tmp_path / "report.html").read_text()


def test_a_broken_format_is_reported_and_the_rest_written(tmp_path: Path, plug: Plug) -> None:
    points = [
        EntryPoint("absent", "a_module_that_is_not_there:render", "assay.reports"),
        plug("explodes", explode, ".x"),
        plug("number", lambda _report: 3, ".y"),
        plug("surrogate", lambda _report: "\ud800", ".z"),
        plug("text", "not callable", ".t"),
        plug("bare", outcome),
        plug("outside", outcome, "/../../x"),
        plug("../up", outcome, ".txt"),
        *OWN,
    ]
    errors = write(tmp_path, points)
    assert {name.split(" ")[0]: why.split(":")[0] for name, why in errors.items()} == {
        "absent": "ModuleNotFoundError",
        "explodes": "KeyError",
        "number": "AttributeError",
        "surrogate": "UnicodeEncodeError",
        "text": "TypeError",
        "bare": "TypeError",
        "outside": "TypeError",
        "../up": "ValueError",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md"]


def test_our_own_formats_are_installed() -> None:
    writers, _ = find_writers()
    assert [(writer.name, writer.suffix) for writer in writers[:2]] == [("html", ".html"), ("markdown", ".md")]
