"""What a scan comes to: never clean where something was not read, whatever the reason."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.cli import app, main
from harness.errors import UsageError
from harness.scan import finding, run, scan_checkpoint
from harness.scan.finding import Finding, Level, Outcome, ScanReport, Unscanned
from harness.scan.libraries import HOLES, known_holes, release
from harness.scan.opinion import SecondOpinion
from tests.harness.scan.inputs import RUNS, edit, found, scan, write
from tests.tiny import make_checkpoint


def report(*levels: Level, missed: int = 0) -> ScanReport:
    return ScanReport(
        source="x",
        kind="folder",
        version="1",
        findings=tuple(Finding(rule="code/python", level=level, file="a", sentence="s") for level in levels),
        unscanned=tuple(Unscanned(file="a", why="w") for _ in range(missed)),
    )


@pytest.mark.parametrize(
    ("levels", "missed", "code", "word"),
    [
        ((), 0, 0, "CLEAN"),
        ((Level.NOTE,), 0, 0, "CLEAN"),
        ((Level.WARNING,), 0, 1, "FOUND"),
        ((Level.ERROR, Level.NOTE), 0, 1, "FOUND"),
        ((), 1, 3, "not a clean result"),
        ((Level.NOTE,), 1, 3, "INCOMPLETE"),
        ((Level.ERROR,), 1, 1, "1 not scanned"),
    ],
)
def test_exit_codes(levels: tuple[Level, ...], missed: int, code: int, word: str) -> None:
    made = report(*levels, missed=missed)
    assert int(made.exit_code) == code
    assert word in made.headline


@pytest.mark.parametrize(
    "broken",
    ["harness.scan.examine.kind_of", "harness.scan.examine.walk_pickles", "harness.scan.examine.parse",
     "harness.scan.examine.report_key", "harness.scan.whole.check_numbers", "harness.scan.whole.report_counts",
     "harness.scan.whole.report_git"],
)  # fmt: skip
@pytest.mark.parametrize(
    "error", [RuntimeError("x"), MemoryError(), RecursionError(), AttributeError("x"), KeyError("x")]
)
def test_a_scanner_that_fails_has_not_scanned(
    broken: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_checkpoint(tmp_path / "model", "bert", "classifier")

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(broken, fail)
    made = scan(folder)
    assert made.outcome is not Outcome.CLEAN
    assert made.unscanned


def test_when_the_time_is_up_the_rest_is_not_scanned(tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path, f"{number}.txt", "x")
    made = scan(tmp_path, seconds=-1)
    assert made.outcome is Outcome.INCOMPLETE
    assert all("time was up" in missed.why or "no file" in missed.why for missed in made.unscanned)


def test_many_findings_of_one_rule_are_counted(tmp_path: Path) -> None:
    for number in range(250):
        write(tmp_path, f"own{number}/a.py", "x = 1\n")
    made = scan(tmp_path)
    assert made.count(Level.WARNING) == 200
    assert any("50 more of code/python" in line for line in made.cannot_tell)


def test_a_scan_in_a_process_of_its_own(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "model", "bert", "classifier")
    made = scan_checkpoint(str(folder))
    assert made.outcome is Outcome.CLEAN, made
    assert made.isolation.startswith("process")
    write(folder, "a.bin", RUNS)
    assert "pickle/import" in found(scan_checkpoint(str(folder)))


@pytest.mark.parametrize(
    "source", ["no/such/folder", "../nothing", "a b", "x" * 5000, "a\0b", "nothing.gguf", "~nobody/x"]
)
def test_a_source_that_is_not_there(source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        run.locate(source, None) if source != "no/such/folder" else scan_checkpoint("no/such/folder")
    (tmp_path / "pipe").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError):
        run.locate("pipe", None)


def test_a_process_that_dies_or_hangs_is_never_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "config.json", "{}")
    monkeypatch.setattr(run, "MEMORY_BYTES", 1)
    made = scan_checkpoint(str(tmp_path))
    assert made.outcome is Outcome.INCOMPLETE
    assert made.unscanned
    monkeypatch.undo()
    monkeypatch.setattr(run, "_GRACE", 0.0)
    made = scan_checkpoint(str(tmp_path), seconds=0.01)
    assert made.outcome is Outcome.INCOMPLETE


def test_an_answer_that_is_no_report_is_never_clean() -> None:
    request = {"source": "x", "kind": "folder"}
    for said in (b"", b"{}", b"[]", b"null", b'{"outcome": "clean"}', b"\xff"):
        made = run._report(said, False, 0, request)
        assert made.outcome is Outcome.INCOMPLETE
        assert made.exit_code == finding.EXITS[Outcome.INCOMPLETE]


def test_known_holes_by_version() -> None:
    def names(**versions: str) -> set[str]:
        return {f"{note.library} {note.hole}" for note in known_holes(versions.get)}

    assert names(torch="2.5.1") == {"torch CVE-2025-32434", "torch CVE-2026-24747"}
    assert names(torch="2.6.0+cpu") == {"torch CVE-2026-24747"}
    assert names(torch="2.13.0") == set()
    assert "transformers CVE-2026-4372" in names(transformers="4.57.6")
    assert "transformers CVE-2026-4372" not in names(transformers="4.55.0")
    assert names(transformers="5.4.0") == {"transformers CVE-2026-5241"}
    assert names(transformers="5.5.0") == set()
    assert "transformers CVE-2026-5241" in names(transformers="5.5.0rc1")
    assert names(peft="0.17.1") == {"peft megatron_core, parent_library"}
    assert names(peft="0.20.0") == set()
    assert names(jinja2="what") == {"jinja2 CVE-2025-27516"}, "a version that cannot be read counts as affected"
    assert all(hole.source and hole.closed_by and release(hole.fixed) for hole in HOLES)


def test_holes_of_libraries_are_no_findings(tmp_path: Path) -> None:
    write(tmp_path, "config.json", "{}")
    assert scan(tmp_path).outcome is Outcome.CLEAN


def test_the_second_opinion_is_asked_where_it_is_installed(tmp_path: Path) -> None:
    write(tmp_path, "a.bin", RUNS)
    made = scan(tmp_path)
    if not SecondOpinion.available():
        assert "assay[scan]" in made.second_opinion
        pytest.skip("picklescan is not installed")
    assert "pickle/second-opinion" in found(made)
    assert "1 called dangerous" in made.second_opinion


def test_the_second_opinion_cannot_end_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    def fail(*_: Any) -> Any:
        raise RuntimeError("a fault of its own")

    other = types.ModuleType("picklescan.scanner")
    other.scan_pickle_bytes = fail  # type: ignore[attr-defined]
    package = types.ModuleType("picklescan")
    package.scanner = other  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picklescan", package)
    monkeypatch.setitem(sys.modules, "picklescan.scanner", other)
    monkeypatch.setattr(SecondOpinion, "available", staticmethod(lambda: True))
    write(tmp_path, "a.bin", RUNS)
    assert {"pickle/import", "pickle/broken"} <= found(scan(tmp_path))


def test_the_report_survives_its_own_json(tmp_path: Path) -> None:
    write(tmp_path, "a\udcff\x1b.bin", RUNS)
    edit(tmp_path, "config.json", auto_map={"A": "\ud800"})
    made = scan(tmp_path)
    assert ScanReport.model_validate(json.loads(made.model_dump_json())) == made


@pytest.mark.parametrize("format", ["json", "sarif"])
def test_a_long_report_reaches_standard_output_whole(
    format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for at in range(600):
        (tmp_path / f"file-{at:04d}-{'x' * 60}.txt").write_text("hello")
    with pytest.raises(SystemExit):
        main(lambda **kinds: app(["scan", str(tmp_path), "--format", format], **kinds))
    shown = capsys.readouterr().out
    assert len(shown) > 40_000
    assert json.loads(shown)
    assert shown.isascii()
