"""Verdict: what was decided, on which evidence. Decided in `harness.gate.decide`, rendered everywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from harness.base.frozen import Frozen
from harness.base.language import marked
from harness.errors import Exit
from harness.gate.policy import Excuse, Gate, Severity


class Outcome(StrEnum):
    """What a gate or a whole policy decides."""

    PASS = "pass"
    BLOCK = "block"
    INCONCLUSIVE = "inconclusive"


class WaiverState(StrEnum):
    """What became of a gate's waiver. UNUSED: the gate passes without it."""

    NONE = "none"
    UNUSED = "unused"
    ACTIVE = "active"
    EXPIRED = "expired"


class Absence(StrEnum):
    """Why a gate was not decided on evidence. Only the two of `harness.gate.policy.Excuse` may be excused."""

    NOT_ASKED = marked("not asked for")
    """`when` is about other checkpoints."""
    NOT_APPLICABLE = marked("not applicable")
    NO_BASELINE_YET = marked("no baseline yet")
    NOT_MEASURED = marked("not measured")
    """No metric of that name: misspelt, no data given, or its probe was not run."""
    NO_VALUE = marked("no value")
    """Its probe ran and could not compute it."""
    INCOMPLETE = marked("incomplete")
    """Its probe, or the baseline's, did not finish, or rows are gone."""
    NO_BASELINE = marked("no baseline")
    """None was given, it cannot be reached, or it is refused."""
    NOT_VERIFIED = marked("not verified")
    """It rests on a privacy claim that could not be verified."""

    @property
    def excuse(self) -> Excuse | None:
        """The word of a policy that excuses it; None: nothing does."""
        words = {Absence.NOT_APPLICABLE: Excuse.NOT_APPLICABLE, Absence.NO_BASELINE_YET: Excuse.NO_BASELINE_YET}
        return words.get(self)


class Flips(Frozen):
    """Cases whose outcome differs between candidate and baseline; ids of the first ones, in order of id."""

    worse: int = Field(ge=0, description="right in the baseline, wrong in the candidate")
    better: int = Field(ge=0, description="wrong in the baseline, right in the candidate")
    worse_ids: tuple[str, ...] = Field(default=(), description="case ids, a bounded list")
    better_ids: tuple[str, ...] = Field(default=(), description="case ids, a bounded list")


class Comparison(Frozen):
    """A metric of candidate and baseline over the cases both have."""

    metric: str = Field(description="suite/probe/metric")
    slice: str = ""
    candidate: float | None = Field(default=None, description="value over the paired cases")
    baseline: float | None = Field(default=None, description="value over the paired cases")
    difference: float | None = Field(default=None, description="candidate - baseline")
    regression: float | None = Field(default=None, description="how much worse the candidate is; negative: better")
    low: float | None = Field(default=None, description="lower end of the interval of the regression")
    high: float | None = Field(default=None, description="upper end of the interval of the regression")
    level: float = Field(default=0.95, gt=0, lt=1, description="confidence level of the interval")
    test: str = Field(default="", description="how interval and p were computed")
    margin: tuple[float, float] | None = Field(
        default=None, description="what a relative margin may come to at least and at most; None: it is absolute"
    )
    p: float | None = Field(default=None, ge=0, le=1, description="one-sided, of no more than the allowed regression")
    n: int = Field(default=0, ge=0, description="paired cases (or clusters) with a usable row in both")
    unusable: int = Field(default=0, ge=0, description="paired cases without a usable row in one of the two")
    excluded: int = Field(
        default=0, ge=0, description="cases that the probe does not apply to, in one of the two or both"
    )
    only_candidate: int = Field(default=0, ge=0, description="cases that the baseline does not have")
    only_baseline: int = Field(default=0, ge=0, description="cases that the candidate does not have")
    detectable: float | None = Field(
        default=None, description="smallest regression these data would have found in 8 of 10 audits"
    )
    flips: Flips | None = Field(default=None, description="None where rows have more than two outcomes")
    note: str = Field(default="", description="why there is no comparison, or a caution")


class BaselineRecord(Frozen):
    """The audit a candidate was compared with."""

    ref: str = Field(description="as the user named it")
    audit_id: str
    name: str
    created: str
    checkpoint: str = Field(description="source of the checkpoint")
    fingerprint: str
    run_id: str = Field(default="", description="MLflow run it was read from, '' for a folder")
    version: str = Field(default="", description="registered model and version behind an alias, e.g. 'sentiment 3'")
    other_data: tuple[str, ...] = Field(default=(), description="probe:input whose data differ and were allowed to")


@dataclass(frozen=True, slots=True)
class Compared:
    """What a baseline gives the gates: who it is, and a comparison by gate id, metric and slice."""

    record: BaselineRecord | None = None
    comparisons: Mapping[tuple[str, str, str], Comparison] = field(default_factory=dict)
    why_not: str = ""
    """Why there is no baseline; '' when there is one."""
    absence: Absence = Absence.NO_BASELINE
    """Of which kind that is."""
    warnings: tuple[str, ...] = ()


class GateResult(Frozen):
    """What one gate decided about one metric, on which evidence.

    `outcome` is what the evidence says; `effective` what counts for the release after severity and waiver.
    """

    gate: Gate
    outcome: Outcome
    effective: Outcome = Field(
        default=Outcome.INCONCLUSIVE, description="outcome after severity and waiver; where not given, the outcome"
    )
    reason: str = Field(description="one sentence")
    metric: str = Field(default="", description="key of the metric; the gate's own may be a pattern")
    slice: str = Field(default="", description="slice of the metric, likewise")
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    p: float | None = Field(default=None, ge=0, le=1, description="one-sided p value of 'the rule holds'")
    p_corrected: float | None = Field(default=None, ge=0, le=1, description="corrected for the number of gates")
    alpha: float | None = Field(default=None, description="the gate blocks at a corrected p at or below this")
    comparison: Comparison | None = Field(default=None, description="with the baseline, if the gate asks for it")
    absence: Absence | None = Field(default=None, description="why there was no evidence; None: there was")
    waiver: WaiverState = WaiverState.NONE
    fix: str = Field(default="", description="what to do about it; '' when it passes")

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, values: Any) -> Any:
        """Results saved before these fields existed."""
        if not isinstance(values, dict):
            return values
        gate = values.get("gate")
        if isinstance(gate, dict) and gate.get("on_missing") == "warn":
            values = {**values, "gate": {**gate, "on_missing": "inconclusive"}}
        about = gate if isinstance(gate, dict) else {name: getattr(gate, name, "") for name in ("metric", "slice")}
        named = {name: about.get(name, "") for name in ("metric", "slice")}
        return {"effective": values.get("outcome"), **named, **values}

    @property
    def severity(self) -> Severity:
        """Of the gate."""
        return self.gate.severity

    @property
    def excused(self) -> bool:
        """Whether it was not measured, and the policy excuses that by its word."""
        return self.absence is not None and self.absence.excuse in self.gate.excuse

    @property
    def unmeasured(self) -> bool:
        """Whether it does not count since nothing was, or had to be, measured: excused, or about other checkpoints."""
        return not self.waived and (self.excused or not self.asked)

    @property
    def asked(self) -> bool:
        """Whether the gate is about checkpoints like this one."""
        return self.absence is not Absence.NOT_ASKED

    @property
    def waived(self) -> bool:
        """Whether it counts as passed only because somebody answers for it."""
        return self.waiver is WaiverState.ACTIVE

    @property
    def expired(self) -> bool:
        """Whether its waiver has run out."""
        return self.waiver is WaiverState.EXPIRED


class Verdict(Frozen):
    """The decision; every report renders this and decides nothing."""

    outcome: Outcome
    reason: str = Field(description="one sentence")
    gates: tuple[GateResult, ...] = ()
    policy: str = Field(default="", description="name of the policy, '' without one")
    policy_digest: str = Field(default="", description="sha256 of the policy, '' without one")
    baseline: BaselineRecord | None = Field(default=None, description="the audit it was compared with")
    warnings: tuple[str, ...] = Field(
        default=(), description="sentences: gates of severity warn, waivers, what was allowed, what was missing"
    )
    decided_on: date | None = Field(default=None, description="the day waivers were judged by, UTC")

    @property
    def exit_code(self) -> Exit:
        """The command line's exit code."""
        codes = {Outcome.PASS: Exit.PASS, Outcome.BLOCK: Exit.BLOCK, Outcome.INCONCLUSIVE: Exit.INCONCLUSIVE}
        return codes[self.outcome]
