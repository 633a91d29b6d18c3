"""Policy: the rules of a release, as a YAML file says them. What they decide is in `harness.gate.decide`."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from enum import StrEnum
from itertools import combinations
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from harness.base import numbers
from harness.base.frozen import Frozen
from harness.base.globs import matches as matches  # the rule that patterns of gates follow


class Severity(StrEnum):
    """What a gate that does not pass means for the release."""

    BLOCK = "block"
    WARN = "warn"
    INFO = "info"


class OnMissing(StrEnum):
    """What a gate decides whose metric (or baseline) is not there and not excused."""

    INCONCLUSIVE = "inconclusive"
    BLOCK = "block"


class Excuse(StrEnum):
    """The two reasons for which a gate may go unmeasured, each by its own word; every other is undecided.

    NOT_APPLICABLE: no checkpoint, tokenizer or kind of data like these can be measured so.
    NO_BASELINE_YET: the registry was asked, and has no such model, alias or version.
    """

    NOT_APPLICABLE = "not_applicable"
    NO_BASELINE_YET = "no_baseline_yet"


_WARN = (
    "gate {id!r}: on_missing: warn excused whatever was not measured and is gone; write excuse: [not_applicable] for "
    "what does not apply to a checkpoint, excuse: [no_baseline_yet] for a first release"
)


class Deciding(StrEnum):
    """Which bound of the interval decides, that is: who must prove what."""

    BOTH = "both"
    WORST = "worst"
    BEST = "best"
    POINT = "point"


class Correction(StrEnum):
    """How blocks are corrected for the number of gates: not, by Holm 1979, or by Benjamini & Hochberg 1995."""

    NONE = "none"
    HOLM = "holm"
    BH = "bh"


class When(StrEnum):
    """Which checkpoints a rule is about."""

    ALWAYS = "always"
    PRIVACY_CLAIM = "privacy_claim"


class Evidence(Frozen):
    """How a gate reads its evidence."""

    confidence: float | None = Field(
        default=None,
        gt=0.5,
        lt=1,
        description="level of the two-sided interval that decides; each end errs with half of the rest; "
        "none: the metric's own, 0.95 against a baseline",
    )
    decides: Deciding = Field(
        default=Deciding.BOTH,
        description="both: pass and block each need the whole interval, else inconclusive; worst: pass if the worst "
        "end holds, else block; best: block if even the best end breaks the rule, else pass; point: the estimate alone",
    )
    test: Literal["auto", "mcnemar", "bootstrap"] = Field(
        default="auto",
        description="against a baseline: mcnemar (two outcomes per row), bootstrap of pairs; auto chooses by the rows",
    )
    draws: int = Field(default=10_000, ge=200, le=1_000_000, description="draws of a paired bootstrap")


def no_number(value: object) -> object:
    """A day is written as one: a number would be read as seconds since 1970."""
    if isinstance(value, int | float):
        raise ValueError(f"{value} is no day; write it as 2027-03-31")
    return value


class Waiver(Frozen):
    """Somebody answers for a gate that does not pass, for a while. An expired one blocks."""

    until: Annotated[date, BeforeValidator(no_number)] = Field(description="last day it holds, UTC")
    by: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = Field(description="who answers for it")
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = Field(
        description="why the release may go out all the same"
    )
    owner: str = Field(default="", description="who may grant it: the owner of the file of waivers it stands in")


class BaselineRule(Frozen):
    """At most so much worse than the baseline, by the rows both have."""

    max_regression: float = Field(
        default=0.0,
        ge=0,
        description="how much worse is allowed: in units of the metric, or '2%' of the baseline's value",
    )
    relative: bool = Field(default=False, description="whether it is a share of the baseline's value; set by the %")

    @model_validator(mode="before")
    @classmethod
    def _percent(cls, values: Any) -> Any:
        """'2%' is 0.02 of the baseline's value."""
        given = values.get("max_regression") if isinstance(values, dict) else None
        if not isinstance(given, str):
            return values
        try:
            share = float(given.strip().removesuffix("%")) / 100
        except ValueError:
            share = float("nan")
        if not given.strip().endswith("%") or not 0 <= share < float("inf"):
            raise ValueError(f"max_regression: {given[:40]!r} is neither a number nor a percentage such as 2%")
        return {**values, "max_regression": share, "relative": True}

    @property
    def shown(self) -> str:
        """The margin as text."""
        if not self.relative:
            return numbers.bound(self.max_regression)
        return f"{numbers.bound(round(100 * self.max_regression, 10))} % of the baseline's value"


class Gate(Frozen):
    """One rule about one metric: exactly one of `min`, `max`, `within`, `baseline` and `measured`."""

    id: str = Field(min_length=1, description="name of the rule, unique in the policy")
    metric: str = Field(description="key, suite/probe/metric; * stands for any characters")
    min: float | None = Field(default=None, description="the interval must lie at or above this")
    max: float | None = Field(default=None, description="the interval must lie at or below this")
    within: tuple[float, float] | None = Field(default=None, description="the interval must lie in [low, high]")
    baseline: BaselineRule | None = Field(default=None, description="the metric must not be worse than the baseline's")
    measured: Literal[True] | None = Field(default=None, description="the metric must have a value, whatever it is")
    slice: str = Field(default="", description="slice of the metric; '' for all rows; * stands for any characters")
    min_examples: int = Field(default=30, ge=1, description="fewer observations leave the gate undecided")
    max_missing: float = Field(
        default=0.1, ge=0, le=1, description="a larger share of cases without a usable row leaves the gate undecided"
    )
    evidence: Evidence = Field(default_factory=Evidence, description="how the evidence is read")
    severity: Severity = Field(
        default=Severity.BLOCK, description="block: stops the release; warn: a warning; info: shown only"
    )
    on_missing: OnMissing = Field(
        default=OnMissing.INCONCLUSIVE, description="what a metric or baseline that is not there means"
    )
    excuse: tuple[Excuse, ...] = Field(
        default=(), description="for which reasons it may go unmeasured and not count: not_applicable, no_baseline_yet"
    )
    when: When = Field(default=When.ALWAYS, description="privacy_claim: only for checkpoints that claim privacy")
    waiver: Waiver | None = Field(default=None, description="who answers for it, until when, if it does not pass")
    ratchet: bool = Field(default=True, description="whether `assay gate --ratchet` may tighten the bound")
    reason: str = Field(default="", description="why the rule exists, printed in reports")

    @model_validator(mode="before")
    @classmethod
    def _no_warn(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("on_missing") == "warn":
            raise ValueError(_WARN.format(id=str(values.get("id", ""))[:100]))
        return values

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        names = ("min", "max", "within", "baseline", "measured")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"gate {self.id!r} needs exactly one of min, max, within, baseline and measured, "
                f"has {given or 'none'}; write one gate for each rule"
            )
        if self.within is not None and self.within[0] > self.within[1]:
            raise ValueError(f"gate {self.id!r}: within is reversed ({self.within[0]} > {self.within[1]})")
        if self.baseline is None and Excuse.NO_BASELINE_YET in self.excuse:
            raise ValueError(f"gate {self.id!r}: excuse: no_baseline_yet is for gates with a baseline, this has none")
        return self

    @property
    def allowed(self) -> tuple[float, float]:
        """Lowest and highest value allowed, infinite where there is no limit; of the regression with a baseline."""
        if self.within is not None:
            return self.within
        if self.baseline is not None:
            return float("-inf"), self.baseline.max_regression
        return (
            self.min if self.min is not None else float("-inf"),
            self.max if self.max is not None else float("inf"),
        )

    @property
    def rule(self) -> str:
        """The rule as text, e.g. `<= 0.35`."""
        if self.within is not None:
            return f"in [{numbers.bound(self.within[0])}, {numbers.bound(self.within[1])}]"
        if self.baseline is not None:
            return f"<= {self.baseline.shown} worse than the baseline"
        if self.measured is not None:
            return "must be measured"
        return f"<= {numbers.bound(self.max)}" if self.max is not None else f">= {numbers.bound(self.allowed[0])}"

    @property
    def is_pattern(self) -> bool:
        """Whether the gate can be about several metrics or slices."""
        return "*" in self.metric or "*" in self.slice

    def covers(self, key: str, part: str) -> bool:
        """Whether the gate is about this metric and slice."""
        return matches(self.metric, key) and matches(self.slice, part)


class Requirement(Frozen):
    """A metric that a release must have measured, whatever its value."""

    metric: str = Field(min_length=1, description="key, suite/probe/metric; * stands for any characters")
    when: When = Field(default=When.ALWAYS, description="privacy_claim: only for checkpoints that claim privacy")
    reason: str = Field(default="", description="why it must be there, printed in reports")

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: object) -> object:
        return {"metric": value} if isinstance(value, str) else value

    def gate(self) -> Gate:
        """The requirement as a gate that blocks."""
        return Gate(
            id=f"requires {self.metric}",
            metric=self.metric,
            measured=True,
            when=self.when,
            on_missing=OnMissing.BLOCK,
            reason=self.reason,
        )


class Policy(Frozen):
    """The rules of a release."""

    name: str = Field(min_length=1, description="shown in verdicts and reports")
    gates: tuple[Gate, ...] = Field(description="every gate must pass")
    baseline: str = Field(
        default="", description="what gates with a baseline compare with: a folder, an MLflow run id or @alias"
    )
    correction: Correction = Field(
        default=Correction.NONE,
        description="none, holm or bh: how blocks are corrected for the number of gates of the same severity",
    )
    requires: tuple[Requirement, ...] = Field(default=(), description="metrics that must have been measured")
    waivers: Literal[""] = Field(
        default="", description="in a policy file: path, from there, of a file of waivers (see harness.gate.waivers)"
    )

    @model_validator(mode="after")
    def _unique_ids(self) -> Self:
        ids = [gate.id for gate in self.all_gates]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"gate ids must be unique, {twice[0]!r} is there twice")
        return self

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        bounded = [gate for gate in self.gates if gate.severity is Severity.BLOCK and gate.baseline is None]
        for one, two in combinations(bounded, 2):
            if (one.metric, one.slice) != (two.metric, two.slice):
                continue
            if max(one.allowed[0], two.allowed[0]) > min(one.allowed[1], two.allowed[1]):
                raise ValueError(
                    f"gates {one.id!r} ({one.rule}) and {two.id!r} ({two.rule}) contradict each other: "
                    f"no value of {one.metric} satisfies both; correct one of the bounds"
                )
        return self

    @property
    def all_gates(self) -> tuple[Gate, ...]:
        """The gates, then one for each requirement."""
        return (*self.gates, *(requirement.gate() for requirement in self.requires))

    def digest(self) -> str:
        """sha256 over the content with every default filled in."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
