"""One base of all models: nothing unknown, nothing changed, no number that is none but where a claim says infinity."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from harness.audit.spec import AuditSpec
from harness.base.frozen import Frozen, FrozenMaybeInfinite
from harness.base.validation import validated
from harness.errors import UsageError
from harness.provenance.claim import ClaimRecord
from harness.record.folder import AuditManifest
from privacy.training.settings.spec import TrainSpec

ROOT = Path(__file__).parents[3]


class Measured(Frozen):
    value: float = 0.0


class Claimed(FrozenMaybeInfinite):
    epsilon: float


class Both(Frozen):
    claimed: Claimed
    value: float = 0.0


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        Measured(value=value)
    with pytest.raises(ValidationError, match="finite number"):
        Both(claimed=Claimed(epsilon=1), value=value)


@pytest.mark.parametrize("epsilon", [math.inf, math.nan, 1.5])
def test_a_claim_is_written_and_read_with_any_number(epsilon: float) -> None:
    text = Both(claimed=Claimed(epsilon=epsilon)).model_dump_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert repr(Both.model_validate_json(text).claimed.epsilon) == repr(epsilon)


@pytest.mark.parametrize("model", [Measured, AuditSpec, TrainSpec, AuditManifest, ClaimRecord])
def test_an_unknown_key_and_a_change_are_refused(model: type[BaseModel]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model.model_validate({"no_such_key": 1})
    made = model.model_construct()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(made, next(iter(model.model_fields)), 1.0)


@pytest.mark.parametrize("key", ["learning_rate", "weight_decay", "max_grad_norm"])
def test_a_setting_that_is_no_number_is_one_sentence(key: str) -> None:
    spec = {"base": "b", "task": "classification", "data": "d.csv", "output": "o", key: math.nan}
    with pytest.raises(UsageError, match=rf"^train\.yaml: {key}: must be a finite number, got 'nan'$"):
        validated(TrainSpec, spec, "train.yaml")


def test_no_other_model_has_settings_of_its_own() -> None:
    rooms = [ROOT / name for name in ("harness", "privacy", "suites", "dashboards")]
    own = [path for room in rooms for path in room.rglob("*.py") if "ConfigDict" in path.read_text(encoding="utf-8")]
    assert own == [ROOT / "harness" / "base" / "frozen.py"]
