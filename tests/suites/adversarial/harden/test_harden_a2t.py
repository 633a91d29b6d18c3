"""A2T, and the command line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli import app
from harness.record.rows import read_rows
from privacy.training import train
from suites.adversarial.harden import run as run_module
from suites.adversarial.harden import run_hardening
from tests.suites.adversarial.harden.toy import N, classes, digest, make_spec, make_train, manifest_of

PROBE = "adversarial/deepwordbug"


def test_a2t_attacks_the_model_of_the_round_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "remove_stages", lambda *_: None)
    spec = make_spec(tmp_path, method="a2t", warm=6, rounds=2, epochs=1, share=0.3)
    result = run_hardening(spec)
    rounds = result.folder / "rounds"
    rows = [read_rows(rounds / str(number), PROBE) for number in (1, 2)]
    assert set(rows[0]["text"]) != set(rows[1]["text"])
    for number, found in enumerate(rows):
        victim = rounds / str(number) / "checkpoint"
        assert classes(victim, list(found["text"])) == found["predicted"].astype(int).tolist()
    steps = [manifest_of(rounds / str(number) / "checkpoint").steps for number in range(3)]
    added = [one.added for one in result.report.hardening.rounds]
    assert steps == [6 * N // 8, math.ceil((N + added[0]) / 8), math.ceil((N + added[1]) / 8)]
    assert manifest_of(result.folder / "after").steps == sum(steps)
    assert manifest_of(result.folder / "control").steps == 8 * N // 8 == manifest_of(result.folder / "before").steps
    assert digest(rounds / "2" / "checkpoint") == digest(result.folder / "after")


def test_the_command_hardens_and_prints_what_it_bought(tmp_path: Path) -> None:
    trained = tmp_path / "trained"
    train_file = tmp_path / "train.yaml"
    train_file.write_text(yaml.safe_dump({**make_train(tmp_path, epochs=1), "output": str(trained)}))
    train(make_spec(tmp_path, train=str(train_file)).train)
    values = {
        "train": str(train_file),
        "method": "augment",
        "recipe": "deepwordbug",
        "query_budget": 5,
        "control": False,
    }
    (tmp_path / "harden.yaml").write_text(yaml.safe_dump({**values, "output": str(tmp_path / "out")}))
    done = CliRunner().invoke(app, ["harden", str(tmp_path / "harden.yaml")])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert f"before: copied from {trained}" in said
    assert "after against before" in said
    assert "bought (accuracy under attack), against before" in said
    assert str(tmp_path / "out" / "after") in said.replace(" ", "") or str(tmp_path / "out" / "after") in said
    assert digest(trained) == digest(tmp_path / "out" / "before")
