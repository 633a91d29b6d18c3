"""Policies as files say them, with waivers from a file of their own: its owner grants them, none for too long.

So who may write the rules and who may waive them can be two teams, each with a file to own.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.base.frozen import Frozen
from harness.base.hints import did_you_mean
from harness.base.validation import load_yaml, read_yaml, validated
from harness.errors import UsageError
from harness.gate.policy import Policy, Waiver, no_number


class GrantedWaiver(Waiver):
    """A waiver with the gate it is for and the day it was granted."""

    gate: str = Field(min_length=1, description="id of the gate")
    granted: Annotated[date, BeforeValidator(no_number)] = Field(description="the day it was granted, UTC")


class WaiverFile(Frozen):
    """Waivers of a policy."""

    owner: str = Field(min_length=1, description="who may grant waivers: a person or a team")
    max_days: int = Field(ge=1, le=366, description="the longest that one may hold, from the day it was granted")
    waivers: tuple[GrantedWaiver, ...] = Field(default=(), description="at most one for each gate")

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        gates = [waiver.gate for waiver in self.waivers]
        twice = sorted({gate for gate in gates if gates.count(gate) > 1})
        if twice:
            raise ValueError(f"two waivers for gate {twice[0]!r}; keep one")
        for waiver in self.waivers:
            if waiver.granted > datetime.now(UTC).date():
                raise ValueError(f"the waiver for gate {waiver.gate!r} is granted on {waiver.granted}, a day to come")
            days = (waiver.until - waiver.granted).days
            if not 0 <= days <= self.max_days:
                raise ValueError(
                    f"the waiver for gate {waiver.gate!r} holds for {days} days (from {waiver.granted} until "
                    f"{waiver.until}), where 0 to {self.max_days} are allowed"
                )
        return self


def load_policy(path: Path) -> Policy:
    """The policy in a YAML file, with its waivers.

    Raises UsageError naming the key, with a suggestion for unknown ones; for a waiver of a gate that is not there or
    has one already, or that holds longer than its file allows.
    """
    values = read_yaml(path)
    named = values.pop("waivers", "")
    if not isinstance(named, str):
        raise UsageError(f"{path}: waivers: must be the path of a file of waivers; a gate has its own as `waiver`")
    policy = validated(Policy, values, str(path))
    return _with_waivers(policy, path.parent / named) if named else policy


def _with_waivers(policy: Policy, path: Path) -> Policy:
    file = load_yaml(path, WaiverFile)
    gates = {gate.id: gate for gate in policy.gates}
    own = sorted(gate.id for gate in policy.gates if gate.waiver is not None)
    if own:
        raise UsageError(
            f"{path}: gate {own[0]!r} has a waiver in the policy; with a file of waivers they all stand in that file, "
            "whose owner and longest time would not hold otherwise"
        )
    for waiver in file.waivers:
        if waiver.gate not in gates:
            hint = did_you_mean(waiver.gate, gates)
            raise UsageError(f"{path}: a waiver for gate {waiver.gate!r}, which the policy does not have{hint}")
        known: dict[str, Any] = {name: getattr(waiver, name) for name in ("until", "by", "reason")}
        granted = Waiver(**known, owner=file.owner)
        gates[waiver.gate] = gates[waiver.gate].model_copy(update={"waiver": granted})
    return policy.model_copy(update={"gates": tuple(gates.values())})
