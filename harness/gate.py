"""The gate: a policy and metrics in, one verdict out. Pure; nothing else in Assay decides anything."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness import numbers
from harness.errors import Exit
from harness.metrics import Metric
from harness.validation import load_yaml

NO_POLICY = "no policy was given: nothing was decided"


class Outcome(StrEnum):
    """What a gate or a whole policy decides."""

    PASS = "pass"
    BLOCK = "block"
    INCONCLUSIVE = "inconclusive"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Gate(_Frozen):
    """One rule about one metric: exactly one of `min`, `max` and `within`."""

    id: str = Field(min_length=1, description="name of the rule, unique in the policy")
    metric: str = Field(description="exact key, suite/probe/metric")
    min: float | None = Field(default=None, description="the interval must lie at or above this")
    max: float | None = Field(default=None, description="the interval must lie at or below this")
    within: tuple[float, float] | None = Field(default=None, description="the interval must lie in [low, high]")
    slice: str = Field(default="", description="slice of the metric; '' for all rows")
    min_examples: int = Field(default=30, ge=1, description="fewer observations leave the gate undecided")
    max_missing: float = Field(
        default=0.1, ge=0, le=1, description="a larger share of cases without a usable row leaves the gate undecided"
    )
    reason: str = Field(default="", description="why the rule exists, printed in reports")

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        given = [name for name in ("min", "max", "within") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"gate {self.id!r} needs exactly one of min, max and within, has {given or 'none'}")
        if self.within is not None and self.within[0] > self.within[1]:
            raise ValueError(f"gate {self.id!r}: within is reversed ({self.within[0]} > {self.within[1]})")
        return self

    @property
    def allowed(self) -> tuple[float, float]:
        """Lowest and highest value allowed, infinite where there is no limit."""
        if self.within is not None:
            return self.within
        return (
            self.min if self.min is not None else float("-inf"),
            self.max if self.max is not None else float("inf"),
        )

    @property
    def rule(self) -> str:
        """The rule as text, e.g. `<= 0.35`."""
        if self.within is not None:
            return f"in [{numbers.bound(self.within[0])}, {numbers.bound(self.within[1])}]"
        return f"<= {numbers.bound(self.max)}" if self.max is not None else f">= {numbers.bound(self.allowed[0])}"


class Policy(_Frozen):
    """The rules of a release."""

    name: str = Field(min_length=1, description="shown in verdicts and reports")
    gates: tuple[Gate, ...] = Field(description="every gate must pass")

    @model_validator(mode="after")
    def _unique_ids(self) -> Self:
        ids = [gate.id for gate in self.gates]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"gate ids must be unique, {twice[0]!r} is there twice")
        return self

    def digest(self) -> str:
        """sha256 over the content with every default filled in."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


class GateResult(_Frozen):
    """What one gate decided, on which evidence."""

    gate: Gate
    outcome: Outcome
    reason: str = Field(description="one sentence")
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0


class Verdict(_Frozen):
    """The decision; every report renders this and decides nothing."""

    outcome: Outcome
    reason: str = Field(description="one sentence")
    gates: tuple[GateResult, ...] = ()
    policy: str = Field(default="", description="name of the policy, '' without one")
    policy_digest: str = Field(default="", description="sha256 of the policy, '' without one")

    @property
    def exit_code(self) -> Exit:
        """The command line's exit code."""
        codes = {Outcome.PASS: Exit.PASS, Outcome.BLOCK: Exit.BLOCK, Outcome.INCONCLUSIVE: Exit.INCONCLUSIVE}
        return codes[self.outcome]


def load_policy(path: Path) -> Policy:
    """The policy in a YAML file. Raises UsageError naming the key, with a suggestion for unknown ones."""
    return load_yaml(path, Policy)


def decide(policy: Policy | None, metrics: Sequence[Metric], *, incomplete: Mapping[str, str] | None = None) -> Verdict:
    """The verdict of `policy` on `metrics`; `incomplete` maps probes that did not finish to the reason.

    Any blocking gate blocks; else any undecided gate leaves the verdict inconclusive; else it passes.
    """
    if policy is None or not policy.gates:
        named = {"policy": policy.name, "policy_digest": policy.digest()} if policy else {}
        return Verdict(outcome=Outcome.INCONCLUSIVE, reason=NO_POLICY, **named)
    results = tuple(_decide_gate(gate, metrics, incomplete or {}) for gate in policy.gates)
    outcome, reason = _overall(results)
    return Verdict(outcome=outcome, reason=reason, gates=results, policy=policy.name, policy_digest=policy.digest())


def _overall(results: Sequence[GateResult]) -> tuple[Outcome, str]:
    for outcome, verb in ((Outcome.BLOCK, "blocked"), (Outcome.INCONCLUSIVE, "not decided")):
        found = [result for result in results if result.outcome is outcome]
        if found:
            count = f"{len(found)} of {len(results)} gates {verb}"
            return outcome, f"{count}; {'first ' if len(found) > 1 else ''}{found[0].gate.id}: {found[0].reason}"
    return Outcome.PASS, f"{len(results)} of {len(results)} gates passed with their whole confidence interval"


def _decide_gate(gate: Gate, metrics: Sequence[Metric], incomplete: Mapping[str, str]) -> GateResult:
    same_key = [metric for metric in metrics if metric.key == gate.metric]
    matches = [metric for metric in same_key if metric.slice == gate.slice]
    probe = gate.metric.rpartition("/")[0]
    if len(matches) != 1:
        why = _unfinished(probe, incomplete) or _not_found(gate, metrics, same_key, len(matches))
        return GateResult(gate=gate, outcome=Outcome.INCONCLUSIVE, reason=why)
    metric = matches[0]
    lacking = _unfinished(probe, incomplete) or _lacking(gate, metric)
    outcome, reason = (Outcome.INCONCLUSIVE, lacking) if lacking else _compare(gate, metric)
    return GateResult(
        gate=gate, outcome=outcome, reason=reason, value=metric.value, low=metric.low, high=metric.high, n=metric.n
    )


def _unfinished(probe: str, incomplete: Mapping[str, str]) -> str:
    return f"{probe} did not finish: {incomplete[probe]}" if probe in incomplete else ""


def _not_found(gate: Gate, metrics: Sequence[Metric], same_key: Sequence[Metric], count: int) -> str:
    if count > 1:
        return f"{_name(gate)} was measured {count} times, which one is meant is unknown"
    if same_key:
        slices = ", ".join(sorted(repr(metric.slice) if metric.slice else "all rows" for metric in same_key))
        return f"{_name(gate)} was not measured; the metric was for {slices}"
    close = difflib.get_close_matches(gate.metric, sorted({metric.key for metric in metrics}), 1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{gate.metric} was not measured{hint}"


def _lacking(gate: Gate, metric: Metric) -> str:
    """What evidence the metric lacks to be decided on; '' when it lacks nothing."""
    if metric.value is None:
        return f"{_name(gate)} is missing: {metric.note}"
    if metric.low is None and metric.high is None:
        return f"{_name(gate)} has no confidence interval"
    if metric.n < gate.min_examples:
        return f"{_name(gate)} rests on {metric.n} observations, the gate asks for {gate.min_examples}"
    lost = metric.missing / (metric.n + metric.missing)
    if lost > gate.max_missing:
        share, allowed = numbers.percent(lost), numbers.percent(gate.max_missing)
        return f"{share} of the cases of {_name(gate)} gave no usable row, the gate allows {allowed}"
    return ""


def _compare(gate: Gate, metric: Metric) -> tuple[Outcome, str]:
    """Compare the interval, not the point, with the rule; a missing end is as far away as can be."""
    lowest, highest = gate.allowed
    low = metric.low if metric.low is not None else float("-inf")
    high = metric.high if metric.high is not None else float("inf")
    if lowest <= low and high <= highest:
        outcome, relation = Outcome.PASS, "satisfies"
    elif low > highest or high < lowest:
        outcome, relation = Outcome.BLOCK, "violates"
    else:
        outcome, relation = Outcome.INCONCLUSIVE, "only partly satisfies"
    limits = [limit for limit in gate.allowed if abs(limit) != float("inf")]
    digits = max(numbers.telling_digits(end, limit) for end in (metric.low, metric.high) for limit in limits)
    shown = numbers.interval(metric.low, metric.high, digits)
    sure = f"{numbers.percent(metric.level)} interval {shown} (n={metric.n})"
    return outcome, f"the {sure} of {_name(gate)} {relation} {gate.rule}"


def _name(gate: Gate) -> str:
    return f"{gate.metric} [{gate.slice}]" if gate.slice else gate.metric
