"""What a hardening spec says, and what is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import UsageError
from suites.adversarial.harden import HardenSpec, load_harden_spec
from suites.adversarial.harden.audits import audit_spec
from tests.suites.adversarial.harden.toy import make_train


def written(folder: Path, **fields: Any) -> Path:
    """A spec file; None takes a key away."""
    values: dict[str, Any] = {
        "train": make_train(folder),
        "method": "a2t",
        "recipe": "deepwordbug",
        "output": str(folder / "out"),
        **fields,
    }
    path = folder / "harden.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in values.items() if value is not None}))
    return path


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"train": {"privacy": {"epsilon": 8}}}, "privacy ledger does not count"),
        ({"train": {"task": "masked_lm"}}, "a classifier can be hardened, not a masked_lm"),
        ({"train": {"held_out": None}}, "give train.held_out"),
        ({"train": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"method": "augment", "warm": 2}, "warm belongs to the method a2t"),
        ({"method": "augment", "rounds": 2}, "rounds belongs to the method a2t"),
        ({"method": "freelb"}, "method"),
        ({"recipe": "deepwordbugs"}, "no recipe is called 'deepwordbugs'; there are"),
        ({"recipe": "input_reduction"}, "shortens texts"),
        ({"share": 0}, "share"),
        ({"share": 1.5}, "share"),
        ({"shares": 0.5}, "did you mean 'share'"),
        ({"train": "nowhere.yaml"}, "nowhere.yaml: no such file"),
        ({"audit": "nowhere.yaml"}, "nowhere.yaml: no such file"),
        ({"recipe": None}, "missing key 'recipe'"),
    ],
)
def test_what_cannot_be_hardened_is_refused_in_one_sentence(tmp_path: Path, fields: dict[str, Any], why: str) -> None:
    if isinstance(fields.get("train"), dict):
        fields = {**fields, "train": {**make_train(tmp_path), **fields["train"]}}
    with pytest.raises(UsageError) as caught:
        load_harden_spec(written(tmp_path, **fields))
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_training_spec_is_read_from_its_file(tmp_path: Path) -> None:
    inline = load_harden_spec(written(tmp_path))
    train = tmp_path / "train.yaml"
    train.write_text(yaml.safe_dump({**make_train(tmp_path), "output": "elsewhere"}))
    by_path = load_harden_spec(written(tmp_path, train=str(train)))
    assert by_path.canonical() == inline.canonical()
    assert by_path.train.output == Path("elsewhere")


def test_rounds_fill_up_the_epochs_of_the_training(tmp_path: Path) -> None:
    def planned(**fields: Any) -> tuple[int | None, int]:
        spec = load_harden_spec(written(tmp_path, **fields))
        return spec.warm_epochs, spec.attack_rounds

    assert planned() == (1, 7)
    assert planned(warm=3) == (3, 5)
    assert planned(warm=8) == (8, 1)
    assert planned(warm=1, rounds=2) == (1, 2)
    assert planned(method="augment") == (None, 1)


def test_only_what_changes_the_checkpoint_is_part_of_its_settings(tmp_path: Path) -> None:
    def settings(**fields: Any) -> dict[str, Any]:
        return load_harden_spec(written(tmp_path, **fields)).canonical()

    same: list[dict[str, Any]] = [{"workers": 2}, {"concurrent": 3}, {"control": False}, {"output": "x"}]
    assert all(settings(**fields) == settings() for fields in [*same, {"audit": {"probes": ["quality"]}}])
    other: list[dict[str, Any]] = [{"seed": 1}, {"share": 0.3}, {"query_budget": 9}, {"weight": 2}, {"warm": 2}]
    assert all(settings(**fields) != settings() for fields in other)


def test_the_audit_is_the_users_but_for_what_it_is_about(tmp_path: Path) -> None:
    file = tmp_path / "audit.yaml"
    file.write_text(
        yaml.safe_dump({"checkpoint": "mine", "output": "there", "name": "x", "probes": ["quality"], "seed": 3})
    )
    spec = load_harden_spec(written(tmp_path, audit=str(file)))
    made = audit_spec(spec, Path("out/after"), Path("out/audits"))
    assert (made.checkpoint.source, made.name, made.output) == ("out/after", "after", Path("out/audits"))
    assert ([probe.name for probe in made.probes], made.seed) == (["quality"], 3)
    with pytest.raises(UsageError, match="did you mean 'probes'"):
        audit_spec(spec.model_copy(update={"audit": {"probe": ["quality"]}}), Path("a"), Path("b"))


def test_by_default_the_attack_of_the_training_is_measured(tmp_path: Path) -> None:
    spec = load_harden_spec(written(tmp_path, query_budget=50, max_words=9))
    made = audit_spec(spec, Path("out/after"), Path("out/audits"))
    quality, attack = made.probes
    assert (quality.name, attack.name) == ("quality/classification", "adversarial/deepwordbug")
    assert quality.data["examples"] == attack.data["examples"] == spec.train.held_out
    assert (attack.params["query_budget"], attack.params["max_words"]) == (50, 9)


def test_the_schema_can_be_printed() -> None:
    assert HardenSpec.model_json_schema()["additionalProperties"] is False
