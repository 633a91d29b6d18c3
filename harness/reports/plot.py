"""Geometry of the small interval plots: where on a line value, interval and allowed range lie."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from harness import numbers
from harness.reports.content import MetricLine

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


def interval_plot(line: MetricLine) -> Plot | None:
    """The plot of a metric on [0, 1] where that holds everything, else on a padded range; None without two ends."""
    metric = line.metric
    if metric.value is None or metric.low is None or metric.high is None:
        return None
    start, end = _range([metric.value, metric.low, metric.high, *_limits(line)])
    if not 0 < end - start < math.inf:
        return None

    def place(number: float) -> float:
        return min(1.0, max(0.0, (number - start) / (end - start)))

    return Plot(
        value=place(metric.value),
        interval=Span(place(metric.low), place(metric.high)),
        allowed=tuple(Span(place(item.gate.allowed[0]), place(item.gate.allowed[1])) for item in line.gates),
        left=numbers.bound(float(f"{start:.3g}")),
        right=numbers.bound(float(f"{end:.3g}")),
    )


def _limits(line: MetricLine) -> Iterator[float]:
    for item in line.gates:
        yield from (limit for limit in item.gate.allowed if math.isfinite(limit))


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    pad = _MARGIN * (high - low) or abs(high) * _MARGIN
    return low - pad, high + pad
