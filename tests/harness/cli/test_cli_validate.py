"""`assay validate` on every kind of file that Assay reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli import main
from harness.cli.kinds import kind_of, kinds
from harness.errors import UsageError

ROOT = Path(__file__).parents[3]
TRAIN = {"task": "classification", "base": "some/model", "data": "a.csv", "held_out": "b.csv", "output": "out"}
HARDEN = {"train": TRAIN, "method": "a2t", "recipe": "deepwordbug", "output": "out"}
GATE = {"id": "g", "metric": "a/b/c", "max": 1}
AUDIT = {"checkpoint": "some/model", "probes": ["bias"]}
POLICY = {"name": "p", "gates": [GATE]}
KINDS = kinds()[0]


def validate(*words: object) -> int:
    """Exit code of `assay validate`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["assay", "validate", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


def written(folder: Path, values: Any) -> Path:
    path = folder / "file.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (AUDIT, "a valid audit spec of some/model"),
        (POLICY, "a valid policy with 1 gates"),
        (TRAIN, "a valid training spec of classification on a.csv"),
        (HARDEN, "a valid hardening spec of a2t with deepwordbug on a.csv"),
    ],
)
def test_each_kind_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], values: dict[str, Any], said: str
) -> None:
    path = written(tmp_path, values)
    assert validate(path) == 0
    assert "".join(capsys.readouterr().out.split("\n")) == f"{path}: {said}"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ("", "empty; it must hold a mapping of keys"),
        (
            {"hello": 1},
            "neither an audit spec (key checkpoint), a policy (key gates), a campaign spec (key checkpoints), a harden",
        ),
        ({"checkpiont": "x"}, "unknown key 'checkpiont'; did you mean 'checkpoint'?"),
        ({**AUDIT, "gates": []}, "unknown key 'gates'"),
        ({**AUDIT, "policy": "nowhere.yaml"}, "{file}: nowhere.yaml: no such file"),
        ({"probes": ["bias"]}, "missing key 'checkpoint'"),
        ({"name": "p", "gate": []}, "unknown key 'gate'; did you mean 'gates'?"),
        ({"name": "p", "gates": [{**GATE, "severty": "warn"}]}, "unknown key 'gates.0.severty'; did you mean 'severi"),
        ({"name": "p", "gates": [GATE, GATE]}, "{file}: gate ids must be unique, 'g' is there twice"),
        ({"name": "p", "gates": [{**GATE, "min": 0}]}, "{file}: gates.0: gate 'g' needs exactly one of"),
        ({**TRAIN, "epoch": 2}, "unknown key 'epoch'; did you mean 'epochs'?"),
        ({**TRAIN, "task": "translation"}, "task: Input should be 'classification', 'masked_lm' or 'causal_lm', got"),
        ({**TRAIN, "fresh": {"kind": "bert"}}, "{file}: give either base, a checkpoint to start from, or fresh"),
        ({**TRAIN, "privacy": {"epsilon": -1}}, "privacy.epsilon: Input should be greater than 0, got '-1'"),
        ({**TRAIN, "privacy": {}}, "{file}: privacy: give either epsilon, the target, or noise_multiplier"),
        ({**HARDEN, "shares": 0.5}, "unknown key 'shares'; did you mean 'share'?"),
        ({**HARDEN, "recipe": "deepwordbugs"}, "{file}: no recipe is called 'deepwordbugs'; there are textfooler"),
        ({**HARDEN, "train": {**TRAIN, "epoch": 1}}, "unknown key 'train.epoch'; did you mean 'epochs'?"),
        ({**HARDEN, "train": "nowhere.yaml"}, "{file}: nowhere.yaml: no such file"),
        (
            {**HARDEN, "train": {**TRAIN, "task": "masked_lm"}},
            "{file}: train: a classifier can be hardened, not a mask",
        ),
        ({**HARDEN, "audit": {"prob": []}}, "{file}: audit: unknown key 'prob'; did you mean 'probes'?"),
        ({"train": TRAIN}, "missing key 'method' (and 2 more)"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], values: Any, why: str
) -> None:
    path = written(tmp_path, values)
    assert validate(path) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"assay: {path}")
    assert why.format(file=path) in line
    assert "Value error" not in line


@pytest.mark.parametrize("name", ["audit", "harden", "policy", "train"])
def test_schemas_are_exported(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert validate("--schema", name) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["additionalProperties"] is False
    for kind, known in KINDS.items():  # what tells one kind is a key of that kind alone
        telling = set(known.telling)
        assert telling & schema["properties"].keys() == (telling if kind == name else set())


def test_there_is_no_other_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate("--schema", "verdict") == 2
    assert "--schema verdict: choose one of audit, policy, campaign, harden, train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        (["checkpoint", "gates"], "audit"),
        (["gates", "probes", "checkpoint"], "audit"),
        (["name", "gate", "require"], "policy"),
        (["train", "method", "base"], "harden"),
        (["tsk", "data", "output", "bases"], "train"),
        ([1, "fresh"], "train"),
    ],
)
def test_the_most_telling_keys_decide(keys: list[object], kind: str) -> None:
    assert kind_of(keys, KINDS, "file.yaml") is KINDS[kind]


def test_keys_of_several_kinds_tell_none() -> None:
    with pytest.raises(UsageError, match=r"^file.yaml: neither .* its keys are name, output$"):
        kind_of(["name", "output"], KINDS, "file.yaml")


EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.relative_to(ROOT).as_posix() for path in EXAMPLES])
def test_the_examples_are_valid(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert validate(path) == 0, capsys.readouterr().err
    assert ": a valid " in capsys.readouterr().out
