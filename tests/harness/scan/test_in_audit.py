"""An audit begins with a scan, keeps it, and a policy can set a bound that no absent or incomplete scan passes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from harness.api.metrics import Metric
from harness.cli import main
from harness.gate.decide import Policy, decide
from harness.gate.verdict import Outcome
from harness.record.folder import AuditFolder, audits_in
from harness.scan.finding import Finding, Level, ScanReport, Unscanned
from harness.scan.record import SCAN_METRIC, ScanRecord, scan_metrics
from tests.harness.scan.inputs import write
from tests.tiny import make_checkpoint

GATE = {"id": "scanned", "metric": SCAN_METRIC, "max": 0}
POLICY = Policy.model_validate({"name": "p", "gates": [GATE]})
LENIENT = Policy.model_validate({"name": "p", "gates": [{**GATE, "max": 5}]})
REQUIRED = Policy.model_validate({"name": "p", "gates": [], "requires": [SCAN_METRIC]})


def metrics(*levels: Level, missed: int = 0, files: int = 3) -> list[Metric]:
    findings = tuple(Finding(rule="code/python", level=level, file="a", sentence="s") for level in levels)
    unscanned = tuple(Unscanned(file="a", why="w") for _ in range(missed))
    report = ScanReport(
        source="x", kind="folder", version="1", findings=findings, unscanned=unscanned, files_found=files
    )
    return scan_metrics(ScanRecord.of(report))


@pytest.mark.parametrize(
    ("made", "policy", "outcome"),
    [
        (metrics(), POLICY, Outcome.PASS),
        (metrics(Level.NOTE), POLICY, Outcome.PASS),
        (metrics(files=100_000), POLICY, Outcome.PASS),
        (metrics(Level.WARNING), POLICY, Outcome.BLOCK),
        (metrics(Level.ERROR), LENIENT, Outcome.PASS),
        (metrics(), REQUIRED, Outcome.PASS),
    ],
)
def test_a_complete_scan_decides_alone(made: list[Metric], policy: Policy, outcome: Outcome) -> None:
    assert decide(policy, made).outcome is outcome


@pytest.mark.parametrize("policy", [POLICY, LENIENT, REQUIRED], ids=["max 0", "max 5", "requires"])
@pytest.mark.parametrize(
    "made",
    [[], scan_metrics(None), metrics(missed=1), metrics(Level.NOTE, missed=3), metrics(Level.ERROR, missed=1)],
    ids=["absent", "none", "incomplete", "incomplete with notes", "incomplete and found"],
)
def test_an_absent_or_incomplete_scan_never_passes(made: list[Metric], policy: Policy) -> None:
    assert decide(policy, made).outcome is not Outcome.PASS


def audited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, AuditFolder]:
    monkeypatch.setattr("sys.argv", ["assay", "run", str(folder / "audit.yaml")])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), next(iter(audits_in(folder / "audits")))


def test_run_scans_first_and_the_policy_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_checkpoint(tmp_path / "model", "bert", "classifier")
    rows = [{"text": f"a text about number {number}", "label": number % 2} for number in range(40)]
    pd.DataFrame(rows).to_json(tmp_path / "data.jsonl", orient="records", lines=True)
    (tmp_path / "policy.yaml").write_text(f"name: p\ngates:\n  - {{id: scanned, metric: {SCAN_METRIC}, max: 0}}\n")
    (tmp_path / "audit.yaml").write_text(
        f"checkpoint: {model}\nprobes: [quality]\ndata: {{examples: {tmp_path / 'data.jsonl'}}}\n"
        f"policy: {tmp_path / 'policy.yaml'}\noutput: {tmp_path / 'audits'}\ntracking: {{uri: 'off'}}\n"
    )
    code, folder = audited(tmp_path, monkeypatch)
    assert code == 0
    scan = folder.manifest().scan
    assert scan is not None
    assert scan.outcome == "clean"
    content = (folder.path / "scan.json").read_bytes()
    import hashlib

    assert hashlib.sha256(content).hexdigest() == scan.digest
    assert json.loads(content)["outcome"] == "clean"
    assert "CLEAN: 5 files read" in (folder.path / "report.md").read_text()

    write(model, "custom_generate/generate.py", "x = 1\n")
    code, folder = audited(tmp_path, monkeypatch)
    assert code == 1
    assert folder.manifest().scan is not None
    assert "code/custom-generate" in (folder.path / "scan.json").read_text()

    (model / "custom_generate" / "generate.py").unlink()
    write(model, "a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(10))
    code, folder = audited(tmp_path, monkeypatch)
    assert code == 3


def test_resume_scans_again_whatever_the_folder_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.audit.plan import make_plan
    from harness.audit.run import start_audit
    from harness.audit.spec import AuditSpec

    model = make_checkpoint(tmp_path / "model", "bert", "classifier")
    write(model, "pip.py", "x = 1\n")
    pd.DataFrame({"text": ["one", "two"], "label": [0, 1]}).to_json(tmp_path / "d.jsonl", orient="records", lines=True)
    spec = {"checkpoint": str(model), "probes": ["quality"], "data": {"examples": str(tmp_path / "d.jsonl")},
            "output": str(tmp_path / "audits"), "tracking": {"uri": "off"}}  # fmt: skip
    forged = ScanReport(source="x", kind="folder", version="1", files_found=5)
    folder = start_audit(make_plan(AuditSpec.model_validate(spec)), scan=forged)
    recorded = folder.manifest().scan
    assert recorded is not None
    assert recorded.outcome == "clean"
    monkeypatch.setattr("sys.argv", ["assay", "resume", str(folder.path)])
    with pytest.raises(SystemExit):
        main()
    recorded = folder.manifest().scan
    assert recorded is not None
    assert recorded.rules == ("code/shadow",)
