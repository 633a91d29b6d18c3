"""The examples that users copy are valid, and those that need no download run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.api.needs import Need
from harness.audit.spec import load_spec
from harness.base.validation import read_yaml
from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.gate.decide import load_policy
from harness.provenance.manifest import read_manifest
from privacy.training import train
from privacy.training.settings.options import load_train_spec
from suites.adversarial.harden import load_harden_spec

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "examples").rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_example_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    content: dict[str, Any] = read_yaml(path)
    if "gates" in content:
        assert load_policy(path).gates
    elif "task" in content:
        assert load_train_spec(path).output.parts[0] == "checkpoints"
    elif "recipe" in content:
        assert load_harden_spec(path).output.parts[0] == "checkpoints"
    else:
        assert load_spec(path).probes


def test_there_are_examples() -> None:
    assert len(FILES) >= 7


def test_a_private_model_is_made_from_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    spec = load_train_spec(ROOT / "examples" / "private_training" / "from_scratch.yaml")
    result = train(spec.model_copy(update={"output": tmp_path / "gpt", "epochs": 1}))
    manifest = read_manifest(result.folder)
    assert manifest is not None
    assert manifest.privacy is not None
    assert manifest.privacy.epsilon <= 8
    assert manifest.privacy.outside == ()
    assert Need.CAUSAL_LM in inspect_checkpoint(CheckpointSource(source=str(result.folder))).offers
