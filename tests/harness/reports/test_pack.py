from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.errors import UsageError
from harness.gate.policy import Policy
from harness.reports.content.api import Level, ReportInput
from harness.reports.formats.pack import render
from tests.harness.reports.inputs import by_hand, compared, manifest


@pytest.fixture
def report(tmp_path: Path) -> ReportInput:
    (tmp_path / "rows" / "toy__share").mkdir(parents=True)
    (tmp_path / "rows" / "toy__share" / "part-000000.parquet").write_bytes(b"secret rows")
    (tmp_path / "report.html").write_text("page")
    (tmp_path / "verdict.json").write_text("{}")
    return replace(by_hand(), level=Level.REPRODUCTION, folder=tmp_path)


def contents(report: ReportInput) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(render(report))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_it_holds_all_it_takes_and_no_rows(report: ReportInput) -> None:
    files = contents(report)
    assert list(files) == [
        "README.md",
        "digests.sha256",
        "manifest.json",
        "metrics.json",
        "policy.yaml",
        "spec.yaml",
        "verdict.json",
        "versions.txt",
    ]
    assert "secret rows" not in "".join(files.values())
    digest = hashlib.sha256(b"secret rows").hexdigest()
    assert f"{digest}  rows/toy__share/part-000000.parquet\n" in files["digests.sha256"]
    assert "report.html" not in files["digests.sha256"]
    assert json.loads(files["verdict.json"])["outcome"] == "block"
    assert len(json.loads(files["metrics.json"])) == len(report.metrics)
    assert files["versions.txt"] == "torch==2.0\n"
    assert "    assay run audit.yaml\n" in files["README.md"]
    assert "f" * 64 in files["README.md"]


def test_the_policy_is_that_of_the_verdict(report: ReportInput) -> None:
    """The spec's where its digest says so; else what the gates say, each once though it has several results."""
    own = Policy.model_validate({"name": "own", "gates": [{"id": "a", "metric": "m", "max": 1}], "correction": "holm"})
    spec = manifest(["toy/share"], spec={"policy": own.model_dump(mode="json")})
    digest = {"policy": "own", "policy_digest": own.digest()}
    same = replace(report, manifest=spec, verdict=report.verdict.model_copy(update=digest))
    assert Policy.model_validate(yaml.safe_load(contents(same)["policy.yaml"])) == own
    other = compared().verdict
    twice = other.model_copy(update={"gates": (*other.gates, other.gates[2])})
    read = Policy.model_validate(yaml.safe_load(contents(replace(same, verdict=twice))["policy.yaml"]))
    assert read.gates == tuple(item.gate for item in other.gates)


def test_the_same_audit_gives_the_same_bytes(report: ReportInput) -> None:
    assert render(report) == render(report)


def test_it_is_refused_where_it_would_be_masked_or_without_a_folder(report: ReportInput) -> None:
    with pytest.raises(UsageError, match="--level reproduction"):
        render(replace(report, level=Level.FINDINGS))
    with pytest.raises(UsageError, match="assay report"):
        render(replace(report, folder=None))
