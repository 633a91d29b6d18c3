"""`assay roc` on the folder of a real audit."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from harness.audit.plan import make_plan
from harness.audit.run import run_audit, start_audit
from harness.audit.spec import AuditSpec
from harness.checkpoint import Permissions
from harness.cli import app
from privacy.training import train
from tests.privacy.toys import make_base, make_spec, nonsense, write_rows


def test_the_command_draws_what_an_audit_measured(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "base", dropout=False)
    sides = {name: str(write_rows(tmp_path / f"{name}.jsonl", nonsense(40, s))) for name, s in (("in", 1), ("out", 2))}
    train(make_spec(tmp_path, base, data=sides["in"], held_out=sides["out"], epochs=1))
    spec = AuditSpec.model_validate(
        {
            "checkpoint": str(tmp_path / "trained"),
            "probes": ["memorization/membership"],
            "output": str(tmp_path / "audits"),
            "tracking": {"uri": "off"},
        }
    )
    plan = make_plan(spec, permissions=Permissions(manifest_sources=True))
    folder = run_audit(plan, start_audit(plan)).folder
    result = CliRunner().invoke(app, ["roc", str(folder.path)])
    assert result.exit_code == 0, result.output
    drawn = (folder.path / "membership-roc.svg").read_text()
    assert "<title>loss</title>" in drawn
    assert "<title>log_odds</title>" in drawn
    assert "the claim allows" not in drawn
    missing = CliRunner().invoke(app, ["roc", str(tmp_path)])
    assert missing.exit_code != 0
    assert "has no record that memorization/membership scored" in str(missing.exception)
