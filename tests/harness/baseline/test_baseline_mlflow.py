"""A baseline that MLflow keeps: by run id and by alias of the model registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.audit.run import regate
from harness.baseline.compare import find_baseline
from harness.baseline.judge import first_verdict
from harness.gate.decide import Policy
from harness.gate.verdict import Absence
from harness.record.folder import AuditFolder
from harness.tracking.log import AUDIT_ID, log_audit
from harness.tracking.session import TrackingError, mlflow_session
from tests.harness.baseline.two_audits import ACCURACY, answers, make_audit

POLICY = Policy.model_validate(
    {"name": "p", "gates": [{"id": "kept", "metric": ACCURACY, "baseline": {"max_regression": 0.05}}]}
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two audits, the old one logged and behind the alias `production` of a model; another alias names no audit."""
    home = tmp_path_factory.mktemp("mlflow")
    old = make_audit(home / "kept" / "old", answers(400, 0.9, 0))
    make_audit(home / "audits" / "new", answers(400, 0.9, 0))
    uri = store(home)
    run = log_audit(old, uri, "assay")
    (home / "run_id").write_text(run)
    with mlflow_session(uri) as client:
        client.create_registered_model("toy")
        for alias, tags, of in (("production", {}, run), ("by-tag", {AUDIT_ID: "old"}, None), ("bare", {}, None)):
            version = client.create_model_version("toy", str(home / "weights"), of, tags=tags)
            client.set_registered_model_alias("toy", alias, version.version)
        client.create_registered_model("other")
        version = client.create_model_version("other", str(home / "weights"))
        client.set_registered_model_alias("other", "shared", version.version)
        client.set_registered_model_alias("toy", "shared", "1")
    return home


def store(home: Path) -> str:
    return f"sqlite:///{home / 'mlflow.db'}"


@pytest.mark.parametrize("ref", ["@production", "toy@production", "toy@by-tag", "run"])
def test_the_audit_behind_a_name_is_compared(home: Path, ref: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    run = (home / "run_id").read_text()
    named = run if ref == "run" else ref
    verdict = regate(AuditFolder(home / "audits" / "new"), POLICY, baseline=named, uri=store(home)).verdict
    assert verdict.outcome == "pass"
    assert verdict.baseline is not None
    assert (verdict.baseline.ref, verdict.baseline.run_id, verdict.baseline.audit_id) == (named, run, "old")


@pytest.mark.parametrize(
    ("ref", "why"),
    [
        ("@nowhere", "no model has the alias @nowhere yet"),
        ("@shared", "models other, toy all have it; say model@shared"),
        ("toy@bare", r"version 3 of toy \(@bare\) names no audit"),
        ("toy@nowhere", "toy has no version with the alias @nowhere yet"),
        ("0" * 32, "MLflow failed"),
    ],
)
def test_a_name_without_an_audit_is_one_sentence(home: Path, ref: str, why: str) -> None:
    with pytest.raises(TrackingError, match=why):
        find_baseline(ref, home / "audits", store(home))


def test_a_baseline_that_is_away_does_not_cost_the_audit(home: Path) -> None:
    folder = AuditFolder(home / "audits" / "new")
    manifest = folder.manifest()
    spec = {**manifest.spec, "tracking": {**manifest.spec["tracking"], "uri": store(home)}}
    folder.write_manifest(manifest.model_copy(update={"spec": spec}))
    rules = POLICY.model_copy(update={"baseline": "@nowhere"})
    verdict = first_verdict(folder, folder.manifest(), folder.metrics(), rules)
    assert verdict.outcome == "inconclusive"
    assert verdict.gates[0].absence is Absence.NO_BASELINE_YET
    assert "no model has the alias @nowhere yet" in verdict.gates[0].reason
