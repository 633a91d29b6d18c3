"""Rules that no value can break: `max: 60` on a rate passes everything, and reads as if it did not. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.api.metrics import Better, Bounds, Metric
from harness.base import numbers
from harness.errors import UsageError
from harness.gate.policy import Gate, Policy

_UNIT: Bounds = (0.0, 1.0)
_SLACK = 1e-6
"""Sums of probabilities end beside their bound by rounding."""


def unbreakable(gate: Gate, metric: Metric) -> str:
    """Why no value of `metric` can break the gate's rule, and what to write instead; '' where one can.

    Of a metric without known ends every rule can be broken.
    """
    ends = bounds_of(metric)
    what = "a rate" if metric.unit == "rate" and ends == _UNIT else metric.key
    share = gate.baseline.max_regression if gate.baseline is not None and gate.baseline.relative else 0.0
    if ends is not None and ends[0] >= 0 and share >= 1 and metric.better is Better.HIGHER:
        return (
            f"no value of {what} can break max_regression: {100 * share:g}%, it would lie below 0; write less than 100%"
        )
    return "" if ends is None else unbreakable_within(gate, what, ends)


def bounds_of(metric: Metric) -> Bounds | None:
    """The least and the most the metric can be: as its probe says, else [0, 1] of a rate; None: not known.

    A metric that lies outside, by whatever fault, is not bounded by them.
    """
    ends = metric.bounds or (_UNIT if metric.unit == "rate" else None)
    shown = [each for each in (metric.value, metric.low, metric.high) if each is not None]
    held = ends is not None and all(ends[0] - _SLACK <= each <= ends[1] + _SLACK for each in shown)
    return ends if held else None


def unbreakable_within(gate: Gate, what: str, ends: Bounds) -> str:
    """The same of something called `what` that lies within `ends`, before it is measured."""
    if gate.measured:
        return ""
    least, most = ends
    if gate.baseline is not None and gate.baseline.relative:
        return ""  # what a share of the baseline's value comes to is known when there is one
    if gate.baseline is not None:
        allowed = gate.baseline.max_regression
        rule = f"max_regression: {numbers.bound(allowed)}"
        return _sentence(rule, what, ends, allowed) if allowed >= most - least else ""
    low, high = gate.allowed
    if low > most or high < least:  # every value breaks it: nothing passes
        return ""
    beyond = [end for end in (low, high) if math.isfinite(end) and not least <= end <= most]
    if not beyond and (low > least or high < most):
        return ""
    if gate.within is not None:
        rule = f"within: [{numbers.bound(low)}, {numbers.bound(high)}]"
        if low > least or high < most:  # of its ends one does something
            rule = f"the end {numbers.bound(beyond[0])} of {rule}"
    else:
        rule = f"max: {numbers.bound(high)}" if gate.max is not None else f"min: {numbers.bound(low)}"
    return _sentence(rule, what, ends, max(beyond, default=most))


def refuse_unbreakable(policy: Policy, known: Mapping[str, Bounds]) -> None:
    """Raises UsageError for the first gate with a rule that no value can break.

    Args:
        policy: the gates.
        known: the least and the most that a metric can be, by its key, suite/probe/metric.
    """
    for gate in policy.gates:
        for key, ends in sorted(known.items()):
            why = unbreakable_within(gate, key, ends) if gate.covers(key, gate.slice) else ""
            if why:
                raise UsageError(f"policy {policy.name!r}: gate {gate.id!r}: {why}")


def _sentence(rule: str, what: str, ends: Bounds, bound: float) -> str:
    share = _as_share(bound, ends)
    todo = f"write {share}" if share else "tighten it, or write `measured: true` where any value will do"
    return (
        f"no value of {what} can break {rule}, it lies in [{numbers.bound(ends[0])}, {numbers.bound(ends[1])}]; {todo}"
    )


def _as_share(bound: float, ends: Bounds) -> str:
    """A percentage as the share that was meant, e.g. 60 as 0.60; '' where it reads as none."""
    share = bound / 100
    if ends[1] != 1 or not 1 < bound < 100:
        return ""
    return f"{share:.2f}" if round(share, 2) == share else numbers.bound(share)
