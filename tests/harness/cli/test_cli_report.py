from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

from harness.audit.spec import AuditSpec
from harness.cli import main
from harness.record.folder import AuditFolder
from harness.reports import write_reports
from tests.harness.reports.inputs import compared

POLICY = Path(__file__).parents[3] / "examples" / "first_audit" / "gpt-policy.yaml"
TEXT = "a text that a row holds, by ada@example.org"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A decided audit with rows, as a run leaves it; no model, no data."""
    report = compared()
    audit = AuditFolder(tmp_path / "audits" / report.manifest.audit_id)
    rows = audit.path / "rows" / "toy__share"
    rows.mkdir(parents=True)
    values = {"case_id": ["00ff", "0000"], "status": "ok", "text": TEXT, "predicted": [1, 0]}
    pd.DataFrame(values).to_parquet(rows / "part-000000.parquet")
    probes = tuple(probe.model_copy(update={"cases": 2}) for probe in report.manifest.probes)
    audit.write_manifest(report.manifest.model_copy(update={"probes": probes}))
    audit.write_metrics(list(report.metrics))
    audit.write_verdict(report.verdict)
    return audit.path


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run `assay` as a user does: exit code, standard output, standard error."""
    monkeypatch.setattr("sys.argv", ["assay", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


def test_report_writes_again_without_a_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    code, out, _ = call(monkeypatch, capsys, "report", folder, "--format", "json, junit", "--output", target)
    assert code == 0
    assert out.split() == [str(target / "report.json"), str(target / "report.junit.xml")]
    assert json.loads((target / "report.json").read_text())["verdict"]["outcome"] == "block"
    assert not (folder / "report.json").exists()
    assert call(monkeypatch, capsys, "report", "latest", "--audits", folder.parent)[0] == 0
    assert (folder / "report.sarif").is_file()


def test_text_of_rows_is_shown_only_at_full(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for level, shown in (("summary", False), ("findings", False), ("full", True)):
        call(monkeypatch, capsys, "report", folder, "--level", level)
        target = folder if level == "findings" else folder / f"reports-{level}"
        for path in target.glob("report.*"):
            assert (TEXT in path.read_text().replace("\\", "").replace("\u200b", "")) <= shown, (path, level)
        page = (target / "report.html").read_text()
        assert (TEXT in page) == shown
        _, out, _ = call(monkeypatch, capsys, "show", folder, "--level", level)
        assert (TEXT in " ".join(out.split())) == shown
        assert ("00ff" in out) == (level != "summary")
    assert "Rows" not in call(monkeypatch, capsys, "show", folder)[1]


def test_another_policy_is_rendered_beside_the_audits_own_reports(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lax.yaml").write_text("name: lax\ngates:\n  - {id: g, metric: toy/share/accuracy, min: 0.1}\n")
    words = ["report", folder, "--format", "json", "--policy", tmp_path / "lax.yaml"]
    code, _, err = call(monkeypatch, capsys, *words)
    assert (code, "--policy needs --output" in err) == (2, True)
    assert call(monkeypatch, capsys, *words, "--output", tmp_path / "out")[0] == 0
    verdict = json.loads((tmp_path / "out/report.json").read_text())["verdict"]
    assert (verdict["outcome"], verdict["policy"]) == ("pass", "lax")
    assert not list(folder.glob("report*"))


def test_a_reproduction_pack_names_the_command(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", folder, "--format", "json", "--level", "reproduction", "--output", tmp_path / "out"]
    assert call(monkeypatch, capsys, *words)[0] == 0
    with zipfile.ZipFile(tmp_path / "out" / "report.zip") as archive:
        assert "assay run audit.yaml" in archive.read("README.md").decode()
        assert not [name for name in archive.namelist() if "parquet" in name]


def test_the_step_summary_reaches_github(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", folder, "--format", "step-summary", "--output", tmp_path / "out"]
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert "appended" not in call(monkeypatch, capsys, *words)[1]
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    assert "appended" in call(monkeypatch, capsys, *words)[1]
    assert (tmp_path / "summary").read_text().startswith("**BLOCK** toy: ")


def test_a_model_card_gets_its_section(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "README.md"
    card.write_text("---\nlicense: mit\n---\n# Mine\n")
    assert call(monkeypatch, capsys, "report", folder, "--card", card)[0] == 0
    assert card.read_text().startswith("---\nlicense: mit\n")
    assert "# Mine\n\n<!-- assay-card -->\n## Release audit" in card.read_text()
    assert not list(folder.glob("report*"))


def test_formats_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(monkeypatch, capsys, "report", "--list")
    assert code == 0
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert rows["junit"] == [".junit.xml", "yes"]
    assert rows["pdf"] == [".pdf", "when", "asked", "for"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["report", "nothing"], "not an audit"),
        (["report", "{folder}", "--format", "junt"], "did you mean 'junit'"),
        (["report", "{folder}", "--level", "al"], "choose one of summary, findings, full, reproduction"),
        (["report", "{folder}", "--format", "pack"], "--level reproduction"),
        (["report", "{folder}", "--baseline", "@production"], "--baseline needs --policy"),
        (["show", "{folder}", "--level", "al"], "choose one of summary"),
        (["report", "{folder}", "--output", "{folder}/manifest.json"], "a file stands where a folder is needed"),
        (["report", "{folder}", "--card", "{folder}/rows/toy__share/part-000000.parquet"], "not a model card"),
    ],
)
def test_usage_errors_are_one_sentence_and_exit_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    code, _, err = call(monkeypatch, capsys, *[word.format(folder=folder) for word in words])
    assert code == 2, err
    assert why in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def junit_counts(path: Path) -> tuple[str | None, str | None]:
    suite = ET.parse(path / "report.junit.xml").getroot().find("testsuite")
    assert suite is not None
    return suite.get("failures"), suite.get("skipped")


def test_undecided_gates_fail_in_junit_as_asked_or_as_the_spec_says(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """JUnit in green while the gate is undecided: GitLab and Jenkins show a skipped test so."""
    audit = AuditFolder(folder)

    def counts(*words: str) -> tuple[str | None, str | None]:
        assert call(monkeypatch, capsys, "report", folder, "--format", "junit", "--output", tmp_path, *words)[0] == 0
        return junit_counts(tmp_path)

    assert counts() == ("1", "1")
    assert counts("--undecided", "failure") == ("2", "0")
    spec = AuditSpec.model_validate({"checkpoint": "m", "reports": {"undecided": "failure"}})
    audit.write_manifest(audit.manifest().model_copy(update={"spec": spec.canonical()}))
    assert counts() == counts("--level", "summary") == ("2", "0")
    assert counts("--undecided", "skipped") == ("1", "1")
    manifest, verdict = audit.manifest(), audit.verdict()
    assert verdict is not None
    assert write_reports(folder, manifest, audit.metrics(), verdict) == {}  # as a run does
    assert junit_counts(folder) == ("2", "0")
    code, _, err = call(monkeypatch, capsys, "report", folder, "--undecided", "green")
    assert (code, "--undecided green: choose one of skipped, failure" in err) == (2, True)


@pytest.mark.parametrize(
    "words", [["show"], ["gate", "--policy", str(POLICY)], ["report", "--format", "json,junit,html"]]
)
def test_reading_an_audit_loads_no_library_of_models(folder: Path, words: list[str]) -> None:
    code = (
        "import sys; from harness.cli import main\n"
        "try: main()\n"
        "finally: print({'torch', 'transformers', 'textattack', 'opacus'} & set(sys.modules), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, words[0], str(folder), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1, 3}, done.stderr
    assert done.stderr.splitlines()[-1] == "set()"
