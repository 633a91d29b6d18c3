"""The report as text, JSON and SARIF, and the command that prints it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.base import sarif_limits
from harness.scan.finding import Finding, Level, ScanReport
from harness.scan.render.formats import FORMATS
from harness.scan.rules import RULES
from tests.harness.reports.sarif_rules import check_log
from tests.harness.scan.inputs import INPUTS, RUNS, edit, scan, write
from tests.tiny import make_checkpoint


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "harness.cli", "scan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    """A folder in which many rules find something."""
    folder = make_checkpoint(tmp_path / "model", "bert", "classifier")
    for rule in ("pickle/import", "code/shadow", "reference/origin", "archive/nested", "file/name", "code/trust"):
        INPUTS[rule](folder)
    write(folder, "a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(10))
    write(folder, f"{'long' * 40}.bin", RUNS)
    edit(folder, "config.json", **{"auto_map": {"a\x1b[31m](http://x) {b}": "::error::x"}})
    return folder


def test_text_fits_80_columns_and_says_what_was_not_read(everything: Path) -> None:
    report = scan(everything)
    text = FORMATS["terminal"](report)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    for finding in report.findings:
        if finding.level is not Level.NOTE:
            assert f"({finding.rule})" in text.replace("\n  ", " ")
    assert "Not scanned" in text
    assert text.count("FOUND: ") == 2


def test_json_has_everything_and_the_outcome(everything: Path) -> None:
    report = scan(everything)
    content = json.loads(FORMATS["json"](report))
    assert content["outcome"] == "found"
    assert content["exit_code"] == 1
    assert len(content["findings"]) == len(report.findings)
    assert content["unscanned"][0]["file"] == "a.7z"


def test_sarif_keeps_the_standard(everything: Path) -> None:
    report = scan(everything)
    log = json.loads(FORMATS["sarif"](report))
    check_log(log)
    (run_,) = log["runs"]
    assert [rule["id"] for rule in run_["tool"]["driver"]["rules"]] == list(RULES)
    assert len(run_["results"]) == len(report.findings)
    assert not run_["invocations"][0]["executionSuccessful"]
    assert all(not result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].startswith("/")
               for result in run_["results"])  # fmt: skip
    prints = [result["partialFingerprints"]["assayScan/v1"] for result in run_["results"]]
    assert len(set(prints)) == len(prints)


def test_sarif_of_a_clean_scan(tmp_path: Path) -> None:
    log = json.loads(FORMATS["sarif"](scan(make_checkpoint(tmp_path / "model", "gpt2", "causal_lm"))))
    check_log(log)
    assert log["runs"][0]["invocations"][0]["executionSuccessful"]


def run_of(report: ScanReport) -> dict[str, Any]:
    log = json.loads(FORMATS["sarif"](report))
    check_log(log)
    return dict(log["runs"][0])


def test_sarif_of_two_checkpoints_never_replace_each_other() -> None:
    """github/codeql-action#872: GitHub's category is the id up to the last slash, and a later upload replaces it."""
    one, two = (ScanReport(source=source, kind="folder", version="1") for source in ("runs/a/final", "runs_a_final"))
    found = Finding(rule="pickle/import", level=Level.ERROR, file="a.bin", sentence="an import")
    ids = [
        run_of(each)["automationDetails"]["id"] for each in (one, two, one.model_copy(update={"findings": (found,)}))
    ]
    categories = [each.rpartition("/")[0] for each in ids]
    assert categories[0] == categories[2] != categories[1]
    assert len(set(ids)) == 3


def test_sarif_says_how_many_findings_it_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif_limits, "MOST", 2)
    findings = tuple(
        Finding(rule="pickle/import", level=Level.ERROR, file=f"{at}.bin", sentence="an import") for at in range(5)
    )
    run_ = run_of(ScanReport(source="m", kind="folder", version="1", findings=findings))
    assert len(run_["results"]) == 2
    (note,) = run_["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith("3 of 5 findings are left out")


def test_the_command_and_its_exit_codes(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "model", "bert", "classifier")
    clean = run("model", cwd=tmp_path)
    assert (clean.returncode, clean.stderr) == (0, ""), clean.stdout
    assert "CLEAN: 5 files read" in clean.stdout
    write(folder, "a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(10))
    assert run("model", cwd=tmp_path).returncode == 3
    write(folder, "a.bin", RUNS)
    done = run("model", "--format", "sarif", "--output", "scan.sarif", cwd=tmp_path)
    assert done.returncode == 1
    assert re.search(r"FOUND: (1 error|2 errors), 1 not scanned", done.stdout)  # picklescan, where it is there, is one
    check_log(json.loads((tmp_path / "scan.sarif").read_text()))
    assert json.loads(run("model", "--format", "json", cwd=tmp_path).stdout)["outcome"] == "found"


@pytest.mark.parametrize(
    "arguments", [("nothing/there/at-all",), ("model", "--format", "yaml"), ("model", "--revision", "main"), ()]
)
def test_wrong_usage_is_said_in_a_sentence(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_working_folder_is_data(tmp_path: Path) -> None:
    """A checkpoint that holds modules of the scanner's own names is scanned from inside."""
    for name in ("json", "numpy", "jinja2", "harness", "resource"):
        write(tmp_path, f"{name}.py", f"open({str(tmp_path / 'marker')!r}, 'w')\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-m", "harness.cli", "scan", "."], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert not (tmp_path / "marker").exists()


def test_the_page_lists_every_rule() -> None:
    page = (Path(__file__).parents[3] / "docs" / "scan.md").read_text(encoding="utf-8")
    for rule in RULES.values():
        assert f"| `{rule.id}` | {rule.level} |" in page
