"""What a checkpoint may do is said on the command line alone: no spec, manifest or older record can say it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.audit.plan import make_plan
from harness.audit.run import resume_plan, start_audit
from harness.audit.spec import AuditSpec, load_spec
from harness.checkpoint import CheckpointSource, Permissions
from harness.data.datasets import DataSource
from harness.errors import UsageError
from tests.fakes import make_info
from tests.tiny import make_checkpoint


@pytest.mark.parametrize("name", ["allow_pickle", "allow_remote_code", "trust_manifest", "allow_task_code"])
def test_a_spec_cannot_give_a_permission(name: str, tmp_path: Path) -> None:
    (tmp_path / "audit.yaml").write_text(f"checkpoint: {{source: x, {name}: true}}\n")
    with pytest.raises(UsageError, match=rf"on the command line only: --{name.replace('_', '-')}"):
        load_spec(tmp_path / "audit.yaml")


def test_records_of_before_say_false_and_are_read() -> None:
    old: dict[str, Any] = {"source": "x", "revision": None, "allow_pickle": False, "allow_remote_code": False}
    assert CheckpointSource.model_validate(old) == CheckpointSource(source="x")


def test_a_forged_manifest_gives_nothing_on_resume(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "bert", "bert", "classifier")
    rows = [{"text": f"text {at}", "label": ("negative", "positive")[at % 2]} for at in range(8)]
    (tmp_path / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    spec = AuditSpec.model_validate(
        {
            "checkpoint": str(folder),
            "probes": ["quality/classification"],
            "data": {"examples": str(tmp_path / "data.jsonl")},
            "output": str(tmp_path / "audits"),
        }
    )
    plan = make_plan(spec, permissions=Permissions(pickle=True))
    audit = start_audit(plan)
    assert "--allow-pickle" in audit.manifest().checkpoint.permissions[0]
    assert resume_plan(audit).info.permissions == Permissions()
    content = json.loads(audit.manifest_path.read_text())
    content["spec"]["checkpoint"]["allow_remote_code"] = True
    audit.manifest_path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r"manifest\.json: .*on the command line only"):
        resume_plan(audit)


@pytest.mark.parametrize(
    ("source", "opened"),
    [
        ("inside.csv", True),
        ("sub/../inside.csv", True),
        ("../outside.csv", False),
        ("/etc/passwd", False),
        ("link.csv", False),
        ("gone.csv", False),
        ("pypi:a==1!b.csv#sha256=" + "0" * 64, False),
        ("someone/dataset", False),
        ("x" * 5000, False),
    ],
)
def test_a_manifest_opens_what_lies_in_its_own_folder(
    source: str, opened: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    folder = tmp_path / "checkpoint"
    (folder / "sub").mkdir(parents=True)
    (folder / "inside.csv").write_text("text\nx\n")
    (tmp_path / "outside.csv").write_text("text\nx\n")
    (folder / "link.csv").symlink_to(tmp_path / "outside.csv")
    monkeypatch.chdir(folder)
    info = replace(make_info(), path=folder)
    assert info.may_open(DataSource(source=source)) is opened
    assert replace(info, permissions=Permissions(manifest_sources=True)).may_open(DataSource(source=source))
