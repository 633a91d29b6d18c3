"""Curves of real audits: saved, in the report, and drawn by `assay roc`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from typer.testing import CliRunner

from harness.audit.measure import backed
from harness.audit.plan import make_plan
from harness.audit.run import run_audit, start_audit
from harness.audit.spec import AuditSpec
from harness.checkpoint import Permissions
from harness.cli import app
from harness.provenance.claim import TrainingRecord
from harness.record.folder import CURVES, AuditFolder
from privacy.training import train
from suites.memorization.hygiene.roc import CEILING
from tests.privacy.toys import make_base, make_spec, nonsense, write_rows

PRIVATE = {"privacy": {"epsilon": 1, "delta": 1e-3}, "label_names": [str(label) for label in range(10)]}


def audited(folder: Path, fields: Mapping[str, Any]) -> AuditFolder:
    base = make_base(folder / "base", "bert", "base", dropout=False)
    sides = {name: str(write_rows(folder / f"{name}.jsonl", nonsense(40, s))) for name, s in (("in", 1), ("out", 2))}
    train(make_spec(folder, base, data=sides["in"], held_out=sides["out"], epochs=1, **fields))
    spec = AuditSpec.model_validate(
        {
            "checkpoint": str(folder / "trained"),
            "probes": ["memorization/membership"],
            "output": str(folder / "audits"),
            "tracking": {"uri": "off"},
        }
    )
    plan = make_plan(spec, permissions=Permissions(manifest_sources=True))
    return run_audit(plan, start_audit(plan)).folder


def test_a_training_without_privacy(tmp_path: Path) -> None:
    folder = audited(tmp_path, {})
    [plot] = folder.curves()
    assert plot.key == "memorization/membership/roc"
    assert [each.name for each in plot.curves] == ["loss", "log_odds", "chance"]
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    assert "<title>ROC of membership: loss, log_odds, chance</title>" in page
    (folder.path / CURVES).unlink()  # as in an audit of an older version: rows are enough
    result = CliRunner().invoke(app, ["roc", str(folder.path)])
    assert result.exit_code == 0, result.output
    drawn = (folder.path / "membership-roc.svg").read_text(encoding="utf-8")
    assert "<title>log_odds</title>" in drawn
    assert CEILING not in drawn
    for asked, said in (([str(tmp_path)], "has no record that"), ([str(folder.path), "--attack", "shadow_attack"], "")):
        missing = CliRunner().invoke(app, ["roc", *asked])
        assert missing.exit_code != 0
        assert said in str(missing.exception)
    [part] = (folder.path / "rows" / "memorization__membership").iterdir()
    pd.read_parquet(part).drop(columns="blind_fold").to_parquet(part)
    old = CliRunner().invoke(app, ["roc", str(folder.path)])
    assert "damaged or of another version of Assay (KeyError: 'blind_fold')" in str(old.exception)


def test_a_private_training_has_the_ceiling_of_its_verified_claim(tmp_path: Path) -> None:
    folder = audited(tmp_path, PRIVATE)
    [plot] = folder.curves()
    [claimed] = [each for each in plot.curves if each.claimed]
    manifest = folder.manifest()
    training = manifest.checkpoint.training
    assert training is not None
    assert training.privacy is not None
    assert training.privacy.check.verified
    for point in claimed.points:
        assert point.x <= point.y <= 2.7182819 * point.x + 1e-3
    assert f"<title>{CEILING}</title>" in (folder.path / "report.html").read_text(encoding="utf-8")
    doubted = training.privacy.model_copy(update={"check": type(training.privacy.check).fails("no ledger")})
    [left] = backed([plot], TrainingRecord(privacy=doubted))
    assert not any(each.claimed for each in left.curves)
    checkpoint = manifest.checkpoint.model_copy(update={"training": TrainingRecord(privacy=doubted)})
    folder.write_manifest(manifest.model_copy(update={"checkpoint": checkpoint}))
    assert CliRunner().invoke(app, ["roc", str(folder.path)]).exit_code == 0
    assert CEILING not in (folder.path / "membership-roc.svg").read_text(encoding="utf-8")
