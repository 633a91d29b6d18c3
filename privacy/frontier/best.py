"""The best mode of each epsilon, chosen by the same held-out examples that it is measured on.

The largest of several estimates is too good on average, so its interval must hold for whichever is chosen: that of each
mode errs in a k-th of what is allowed (Bonferroni), and then all k hold at once, the chosen one's among them. Its value
stays optimistic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.stats.intervals import FloatArray
from privacy.frontier.rows import Quality
from privacy.frontier.two_way import ANY, Estimate, two_way, two_way_difference
from privacy.training.settings.spec import MODES

Table = Mapping[int, FloatArray]
"""Values of each seed's model, [examples]; the examples are the same ones in the same order."""
Tables = Mapping[tuple[str, float], Table]
"""By mode and target epsilon."""


@dataclass(frozen=True, slots=True)
class Best:
    """The mode with the best mean at one epsilon."""

    target: float
    mode: str
    of: int
    """Modes it was chosen among."""
    quality: Estimate
    """With an interval that holds although it was chosen."""


@dataclass(frozen=True, slots=True)
class Fall:
    """Two epsilons where the best of the larger is worse than that of the smaller, beyond the interval."""

    larger: Best
    smaller: Best
    worse: Estimate
    """By how much; above 0."""


def best_of_each(tables: Tables, quality: Quality, level: float, bounds: tuple[float, float]) -> tuple[Best, ...]:
    """The best mode of each epsilon, largest first; none unless there are several modes."""
    if len({mode for mode, _ in tables}) < 2:
        return ()
    found = []
    for target in sorted({target for _, target in tables}, reverse=True):
        means = {mode: _mean(table) for (mode, at), table in tables.items() if at == target}
        mode = (max if quality is Quality.ACCURACY else min)(means, key=lambda each: means[each])
        estimate = two_way(_stack(tables[mode, target]), _shared(level, len(means)), bounds)
        found.append(Best(target, mode, len(means), estimate))
    return tuple(found)


def falls_of(best: tuple[Best, ...], tables: Tables, quality: Quality, level: float) -> tuple[Fall, ...]:
    """Every pair of epsilons that is out of order, by intervals that all hold at once."""
    pairs = list(combinations(best, 2))
    found = []
    for larger, smaller in pairs:
        choices = len(pairs) * larger.of * smaller.of
        one, other = tables[larger.mode, larger.target], tables[smaller.mode, smaller.target]
        worse = how_much_worse(one, other, quality, _shared(level, choices))
        if worse.interval is not None and worse.interval.low > 0:
            found.append(Fall(larger, smaller, worse))
    return tuple(found)


def how_much_worse(ours: Table, theirs: Table, quality: Quality, level: float) -> Estimate:
    """Accuracy of theirs less ours, or nats of ours less theirs; paired by example, and by seed where both have it."""
    sign = -1.0 if quality is Quality.ACCURACY else 1.0
    bounds = (-1.0, 1.0) if quality is Quality.ACCURACY else ANY
    mine, other = sign * _stack(ours), sign * _stack(theirs)
    if ours.keys() == theirs.keys():
        return two_way(mine - other, level, bounds)
    return two_way_difference(mine, other, level, bounds)


def mode_place(mode: str) -> int:
    """Where a mode stands among the others; rows of older versions name none and come first."""
    return next((place for place, each in enumerate(MODES) if each == mode), -1)


def _shared(level: float, choices: int) -> float:
    """The level of each of so many intervals, if all are to hold at `level`."""
    return 1 - (1 - level) / choices


def _mean(table: Table) -> float:
    return float(np.mean(_stack(table)))


def _stack(table: Table) -> FloatArray:
    """[seeds, examples]."""
    return np.stack([table[seed] for seed in sorted(table)])
