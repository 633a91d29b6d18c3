"""Geometry of the small interval plots: where on a line value, interval and allowed range lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.base import numbers
from harness.gate.policy import Gate
from harness.gate.verdict import GateResult
from harness.reports.content.report import MetricLine

_MARGIN = 0.1


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the line, as shares of its width in [0, 1]."""

    start: float
    end: float

    @property
    def width(self) -> float:
        """Length of the stretch."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Plot:
    """An interval plot; positions are shares of its width in [0, 1]."""

    value: float
    interval: Span
    allowed: tuple[Span, ...]
    """What each gate allows."""
    left: str
    right: str
    """Numbers at the two ends of the line."""
    baseline: float | None = None
    """The baseline's value, where there is one."""


def interval_plot(line: MetricLine) -> Plot | None:
    """The plot of a metric on [0, 1] where that holds everything, else on a padded range; None without two ends."""
    metric = line.metric
    if metric.low is None or metric.high is None:
        return None
    return _plot(
        metric.value, metric.low, metric.high, [item.gate.allowed for item in line.gates if _bounds(item.gate)]
    )


def gate_plot(item: GateResult) -> Plot | None:
    """What a gate decided on against what it allows: the regression where it has a baseline, else the metric."""
    compared = item.comparison
    if compared is not None:
        return _plot(compared.regression, compared.low, compared.high, [item.gate.allowed], zoomed=True)
    return _plot(item.value, item.low, item.high, [item.gate.allowed] if _bounds(item.gate) else [])


def pair_plot(item: GateResult) -> Plot | None:
    """The candidate's value with its interval, and the baseline's value over the same cases."""
    if item.comparison is None:
        return None
    return _plot(item.value, item.low, item.high, [], item.comparison.baseline, zoomed=True)


def _plot(
    value: float | None,
    low: float | None,
    high: float | None,
    allowed: Sequence[tuple[float, float]],
    baseline: float | None = None,
    *,
    zoomed: bool = False,
) -> Plot | None:
    """None without a value and an end, or without a range; an open end runs to the edge.

    `zoomed` takes a padded range even where [0, 1] holds everything: differences are small.
    """
    if value is None or (low is None and high is None):
        return None
    limits = [limit for pair in allowed for limit in pair if math.isfinite(limit)]
    known = [number for number in (value, low, high, baseline) if number is not None]
    start, end = _range([*known, *limits], zoomed=zoomed)
    if not 0 < end - start < math.inf:
        return None

    def place(number: float) -> float:
        return min(1.0, max(0.0, (number - start) / (end - start)))

    return Plot(
        value=place(value),
        interval=Span(place(start if low is None else low), place(end if high is None else high)),
        allowed=tuple(Span(place(lowest), place(highest)) for lowest, highest in allowed),
        left=numbers.bound(float(f"{start:.3g}")),
        right=numbers.bound(float(f"{end:.3g}")),
        baseline=None if baseline is None else place(baseline),
    )


def _bounds(gate: Gate) -> bool:
    """Whether the gate limits the metric itself."""
    return gate.baseline is None and gate.measured is None


def _range(values: list[float], *, zoomed: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low >= 0 and high <= 1 and not zoomed:
        return 0.0, 1.0
    return numbers.padded(low, high, _MARGIN)
