from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.api.metrics import Control
from harness.errors import AuditError, UsageError
from harness.record.folder import AuditFolder
from harness.reports import find_writers, recorded_input, render_again, update_card, write_reports
from harness.reports.content.api import Level, ReportInput
from harness.reports.formats import html, markdown
from tests.harness.reports.inputs import by_hand

Plug = Callable[..., EntryPoint]


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    """Makes an entry point of a module made up on the spot."""

    def make(name: str, render: Any, suffix: Any = None) -> EntryPoint:
        module = ModuleType("plugin_" + re.sub(r"\W", "_", name))
        module.__dict__.update({"render": render} | ({"suffix": suffix} if suffix is not None else {}))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return EntryPoint(name, f"{module.__name__}:render", "assay.reports")

    return make


OWN = [
    EntryPoint("html", "harness.reports.formats.html:render", "assay.reports"),
    EntryPoint("markdown", "harness.reports.formats.markdown:render", "assay.reports"),
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
    said = {
        "absent": "ModuleNotFoundError: ",
        "explodes": "KeyError: ",
        "number": "AttributeError: ",
        "surrogate": "UnicodeEncodeError: ",
        "text": "'not callable' is not callable",
        "bare": "module plugin_bare must set suffix",
        "outside": "module plugin_outside must set suffix",
        "../up": "'../up' cannot be part of a file name",
    }
    assert {name.split(" ")[0] for name in errors} == said.keys()
    for name, why in errors.items():
        assert why.startswith(said[name.split(" ")[0]]), why
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md"]


def test_our_own_formats_are_installed() -> None:
    writers, _ = find_writers()
    own = {writer.name: (writer.suffix, writer.default) for writer in writers[:10]}
    assert own == {
        "card": (".card.md", False),
        "comment": (".comment.md", True),
        "html": (".html", True),
        "json": (".json", True),
        "junit": (".junit.xml", True),
        "markdown": (".md", True),
        "pack": (".zip", False),
        "pdf": (".pdf", False),
        "sarif": (".sarif", True),
        "step-summary": (".step.md", False),
    }


def audit(path: Path, report: ReportInput) -> AuditFolder:
    """An audit on disk, as it was decided."""
    folder = AuditFolder(path)
    path.mkdir(parents=True)
    folder.write_manifest(report.manifest)
    folder.write_metrics(list(report.metrics))
    folder.write_verdict(report.verdict)
    return folder


def test_an_old_audit_is_rendered_again_in_the_formats_asked_for(tmp_path: Path, plug: Plug) -> None:
    folder = audit(tmp_path / "audit", by_hand())
    written = render_again(recorded_input(folder, Level.FINDINGS), ["json", "junit"], tmp_path / "out")
    assert written == {"json": tmp_path / "out/report.json", "junit": tmp_path / "out/report.junit.xml"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.json", "report.junit.xml"]
    points = [plug("lines", outcome, ".txt"), plug("raw", lambda _report: b"\x00\xff", ".bin"), *OWN]
    assert set(render_again(recorded_input(folder, Level.FULL), [], tmp_path / "all", points)) == {
        "lines",
        "raw",
        "html",
        "markdown",
    }
    assert (tmp_path / "all/report.bin").read_bytes() == b"\x00\xff"


def test_the_pack_comes_with_its_level_and_a_format_that_is_not_default_only_by_name(tmp_path: Path) -> None:
    folder = audit(tmp_path / "audit", by_hand())
    assert list(render_again(recorded_input(folder, Level.REPRODUCTION), ["json"], tmp_path / "a")) == ["json", "pack"]
    assert set(render_again(recorded_input(folder, Level.FINDINGS), [], tmp_path / "b")) == {
        *("comment", "html", "json", "junit", "markdown", "sarif")
    }


@pytest.mark.parametrize(
    ("formats", "why"),
    [
        (["junt"], "--format junt: no such report format; did you mean 'junit'"),
        (["zzz"], "choose from card, comment, html"),
        (["pack"], "--level reproduction"),
    ],
)
def test_a_format_that_cannot_be_had_is_one_sentence(tmp_path: Path, formats: list[str], why: str) -> None:
    folder = audit(tmp_path / "audit", by_hand())
    with pytest.raises(UsageError, match=why):
        render_again(recorded_input(folder, Level.FINDINGS), formats, tmp_path / "out")


def test_a_broken_plug_in_asked_for_by_name_is_an_error(tmp_path: Path, plug: Plug) -> None:
    folder = audit(tmp_path / "audit", by_hand())
    points = [plug("explodes", explode, ".x"), plug("bare", outcome), *OWN]
    with pytest.raises(AuditError, match="the report format explodes failed: KeyError"):
        render_again(recorded_input(folder, Level.FINDINGS), ["explodes"], tmp_path, points)
    with pytest.raises(UsageError, match="the report format bare did not load: module plugin_bare must set suffix"):
        render_again(recorded_input(folder, Level.FINDINGS), ["bare"], tmp_path, points)


def test_an_undecided_audit_is_refused(tmp_path: Path) -> None:
    folder = audit(tmp_path / "audit", by_hand())
    (folder.path / "verdict.json").unlink()
    with pytest.raises(UsageError, match="not decided; run `assay resume` first"):
        render_again(recorded_input(folder, Level.FINDINGS), [], tmp_path)


def test_a_card_is_updated_or_refused_with_a_sentence(tmp_path: Path) -> None:
    folder = audit(tmp_path / "audit", by_hand())
    card = tmp_path / "README.md"
    update_card(recorded_input(folder, Level.SUMMARY), card)
    once = card.read_text()
    update_card(recorded_input(folder, Level.SUMMARY), card)
    assert card.read_text() == once
    assert "## Release audit" in once
    card.write_text("---\n- a list\n---\n")
    with pytest.raises(UsageError, match="not a model card"):
        update_card(recorded_input(folder, Level.SUMMARY), card)
    card.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not a model card"):
        update_card(recorded_input(folder, Level.SUMMARY), card)


def test_a_second_plug_in_of_a_name_is_reported(plug: Plug) -> None:
    writers, errors = find_writers([plug("html", outcome, ".txt"), *OWN])
    assert {writer.name: writer.suffix for writer in writers} == {"html": ".html", "markdown": ".md"}
    assert "the name 'html' is taken by harness.reports.formats.html:render" in next(iter(errors.values()))


@pytest.mark.parametrize("name", ["markdown", "html"])
def test_a_control_stands_beneath_its_metric(name: str) -> None:
    report = by_hand()
    control = Control(what="neutral <pairs>", value=0.5125, low=0.45, high=0.575, n=240)
    metrics = (report.metrics[0].model_copy(update={"control": control}), *report.metrics[1:])
    page = {"markdown": markdown.render, "html": html.render}[name](replace(report, metrics=metrics))
    first, _, rest = page.partition("control: neutral")
    assert "flips" in first[-1500:]
    assert "<pairs>" not in page
    beneath = rest.partition("gender")[0]
    assert [text for text in ("0.5125", "0.4500", "0.5750", "240") if text not in beneath] == []
    assert "control: " not in {"markdown": markdown.render, "html": html.render}[name](report)
