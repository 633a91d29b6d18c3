"""Metric: one number with its interval, its n and its direction. A missing number is None, never zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from harness.base.frozen import Frozen

PROVEN = "proven bound, not estimated"
"""`Metric.interval` of a number that is computed exactly: no confidence level applies to it."""


Bounds = tuple[float, float]
"""The least and the most that a metric can be."""


class Better(StrEnum):
    """Which way is better."""

    HIGHER = "higher"
    LOWER = "lower"
    TARGET = "target"
    NEITHER = "neither"


class Alarm(Frozen):
    """What no checkpoint may show, whatever a policy allows: a value beyond it contradicts a claim of the training."""

    bound: float = Field(description="most that the value may be, if the claim is true")
    reason: str = Field(min_length=1, description="one sentence: what is contradicted, and what likely caused it")


class Control(Frozen):
    """The same formula over cases where nothing should be found, of the same rows: what a score is held against."""

    what: str = Field(min_length=1, description="what the cases of the control are, in few words")
    value: float | None = Field(description="point estimate, None when it cannot be computed")
    low: float | None = Field(default=None, description="lower end of the interval")
    high: float | None = Field(default=None, description="upper end of the interval")
    n: int = Field(ge=0, description="independent observations of the control")
    note: str = Field(default="", description="why the value is missing, or a caution to print beside it")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.value is None and not self.note:
            raise ValueError(f"control {self.what!r}: a missing value must say why in `note`")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"control {self.what!r}: interval is reversed ({self.low} > {self.high})")
        return self


class Metric(Frozen):
    """A measured quantity. `key` is `suite/probe/metric`; the probe fills the last part, the audit the rest."""

    key: str = Field(description="suite/probe/metric, the same in the spec, the policy, MLflow and the reports")
    value: float | None = Field(description="point estimate, None when it cannot be computed")
    low: float | None = Field(default=None, description="lower end of the interval")
    high: float | None = Field(default=None, description="upper end of the interval")
    n: int = Field(ge=0, description="independent observations the value rests on")
    missing: int = Field(default=0, ge=0, description="cases planned for this metric that gave no usable row")
    excluded: int = Field(default=0, ge=0, description="cases that the probe does not apply to, neither n nor missing")
    unit: str = Field(default="", description="unit of value: '', 'nats', 'rate', ...")
    better: Better = Field(description="which direction is better")
    target: float | None = Field(default=None, description="the ideal value where better is 'target'")
    interval: str = Field(default="", description="method of the interval, e.g. 'Wilson'")
    level: float = Field(default=0.95, gt=0, lt=1, description="confidence level of the interval")
    headline: bool = Field(default=True, description="shown in summaries and logged to MLflow")
    bounds: Bounds | None = Field(
        default=None, description="the least and the most it can be, whatever the rows; None: not said"
    )
    slice: str = Field(default="", description="subset the metric is about, e.g. 'gender'; '' for all rows")
    note: str = Field(default="", description="why the value is missing, or a caution to print beside it")
    alarm: Alarm | None = Field(default=None, description="set where the value blocks every release; None: no alarm")
    control: Control | None = Field(
        default=None, description="the same where nothing should be found, shown beside the value; None: no control"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.value is None and not self.note:
            raise ValueError(f"{self.key}: a missing value must say why in `note`")
        if self.alarm is not None and (self.value is None or self.value <= self.alarm.bound):
            raise ValueError(f"{self.key}: an alarm needs a value beyond {self.alarm.bound}, it is {self.value}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"{self.key}: interval is reversed ({self.low} > {self.high})")
        return self

    def as_control(self, what: str) -> Control:
        """What this is as a control of another metric; `what` its cases are."""
        return Control(what=what, **{name: getattr(self, name) for name in ("value", "low", "high", "n", "note")})

    def with_prefix(self, probe: str) -> Metric:
        """The same metric keyed `probe/<key>`."""
        return self.model_copy(update={"key": f"{probe}/{self.key}"})


def missing_metric(key: str, why: str, *, better: Better, missing: int = 0, unit: str = "") -> Metric:
    """A metric that could not be computed, with the reason."""
    return Metric(key=key, value=None, n=0, missing=missing, better=better, unit=unit, note=why)


@dataclass(frozen=True, slots=True)
class RowValues:
    """A metric as what each row adds to it: sum(above) / sum(below), then `finish`. Lets two audits be paired by rows.

    Attributes:
        above: [n]; NaN where the row is not usable.
        below: [n]; 0 where the row does not count; None: every row counts 1, the metric is a mean.
        clusters: [n] labels of rows that are not independent (a document, a template); None: all are.
        finish: what is done to the quotient, elementwise and increasing, e.g. np.exp; None: nothing.
        bounds: within which `above` / `below` of any row lies, before `finish`; an interval needs fewer rows with them.
    """

    above: ArrayLike
    below: ArrayLike | None = None
    clusters: ArrayLike | None = None
    finish: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)
