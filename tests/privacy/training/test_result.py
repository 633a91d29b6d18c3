"""What `assay train` says while and after it trains."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from harness.base.validation import validated
from harness.cli.console import training_progress
from harness.errors import DataError, UsageError
from harness.provenance.manifest import TrainingManifest
from privacy.training import TrainSpec, train
from privacy.training.records.result import TrainResult
from tests.privacy.toys import make_base, make_spec, write_rows


def _result(loss: float, *labels: str) -> TrainResult:
    task = "classification" if labels else "causal_lm"
    manifest = TrainingManifest.model_validate(
        {
            **{
                "task": task,
                "base": "b",
                "base_fingerprint": "f",
                "weights": "w",
                "members": {"source": "rows.csv"},
                "members_digest": "d",
                "members_n": 9,
            },
            **{"label_names": labels, "seed": 0, "config": {}, "steps": 3, "losses": [9.0, loss], "versions": {}},
        }
    )
    return TrainResult(Path("out"), manifest, True, 1.0, 0)


def test_a_classifier_that_is_worse_than_guessing_is_told() -> None:
    assert "guessing among 2 classes has a loss of 0.693 nats" in _result(2.04, "no", "yes").sentence
    assert "guessing among 4 classes has a loss of 1.386 nats" in _result(1.6, *"abcd").sentence
    for loss, labels in ((0.72, ("no", "yes")), (1.3, tuple("abcd")), (5.0, ())):
        assert "guessing" not in _result(loss, *labels).sentence


def test_what_comes_before_the_first_step_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with training_progress() as update:
        for done in (0, 32, 64):
            update(0, 0, math.nan)
            update(done, 64, math.nan)
        update(1, 2, 0.5)
    assert capsys.readouterr().out.splitlines() == [
        "training: checking records, before the first step",
        "training: reading records, before the first step",
        "training: step 1 of 2, loss 0.500",
    ]


def test_private_training_says_that_it_checks_before_it_steps(tmp_path: Path) -> None:
    seen: list[tuple[int, int, bool]] = []
    spec = make_spec(tmp_path, make_base(tmp_path / "base", "bert", "classifier"), privacy={"noise_multiplier": 1.0})
    train(spec, progress=lambda step, steps, loss: seen.append((step, steps, math.isnan(loss))))
    assert seen[0] == (0, 0, True)
    assert not any(before for _, _, before in seen[1:])


def test_prompts_and_completions_without_the_setting_are_told_of_it(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": "a b", "completion": " c"}] * 3)
    base = make_base(tmp_path / "base", "gpt2", "causal_lm")
    with pytest.raises(DataError, match=r"missing column 'text'.*completions: plain \(or chat\)"):
        train(make_spec(tmp_path, base, task="causal_lm", data=str(rows), label_names=()))


def test_a_section_that_is_no_section_is_told_its_keys() -> None:
    values = {"base": "b", "task": "classification", "data": "rows.csv", "output": "out", "privacy": 8}
    with pytest.raises(UsageError, match=r"^t\.yaml: privacy: must hold keys of its own \(epsilon, .*got '8'$"):
        validated(TrainSpec, values, "t.yaml")


def test_every_mode_is_told_in_the_schema_and_by_an_unknown_one() -> None:
    modes = ("full", "head", "bitfit", "last-layers", "lora")
    described = TrainSpec.model_json_schema()["properties"]["mode"]["description"]
    values = {"base": "b", "task": "classification", "data": "rows.csv", "output": "out", "mode": "heads"}
    with pytest.raises(UsageError) as raised:
        validated(TrainSpec, values, "t.yaml")
    for mode in modes:
        assert f"{mode}:" in described
        assert repr(mode) in str(raised.value)
