"""The frontier as numbers for whoever shows it without computing it again."""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.provenance.trade_off import Estimated, TradeOff, TradeOffPoint
from privacy.frontier.measure import Frontier, Point
from privacy.frontier.rows import Quality
from privacy.frontier.two_way import Estimate
from privacy.frontier.words import caption, shown


def as_json(frontier: Frontier) -> str:
    """The content of frontier.json."""
    scale = shown(frontier.quality)
    return (
        TradeOff(
            quality=frontier.quality.value,
            better="higher" if frontier.quality is Quality.ACCURACY else "lower",
            points=tuple(_point(point, scale) for point in frontier.points),
            n=frontier.n,
            floor=frontier.floor,
            caption=tuple(caption(frontier)),
            failures=dict(frontier.failures),
        ).model_dump_json(indent=1)
        + "\n"
    )


def _point(point: Point, scale: Callable[[float], float]) -> TradeOffPoint:
    return TradeOffPoint(
        target=point.target,
        epsilon=point.epsilon if point.private else math.inf,
        delta=point.delta,
        mode=point.mode,
        quality=_estimated(point.quality, scale),
        by_seed={seed: scale(value) for seed, value in zip(point.seeds, point.by_seed, strict=True)},
        cost=None if point.lost is None else _estimated(point.lost, scale),
    )


def _estimated(estimate: Estimate, scale: Callable[[float], float]) -> Estimated:
    interval = estimate.interval
    if interval is None:
        return Estimated(value=scale(estimate.value), note=estimate.note)
    low, high = scale(interval.low), scale(interval.high)
    return Estimated(value=scale(estimate.value), low=low, high=high, level=interval.level, note=estimate.note)
