"""How often the interval of the largest difference between groups leaves out the truth, and a bootstrap's instead.

The largest of several differences is too large on average, so that redrawing the records cannot tell that groups are
alike. Ours is what `bias/group_fairness` calls; the peers are the percentiles of the redrawn largest difference, and
these reflected at the value (the basic bootstrap).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Cell
from harness.api.scorer import Floats
from suites.bias.extremes import largest_difference, level_for
from suites.bias.fairness.rates import share_estimate

PEERS = ("numpy",)
RUNS = 600
DRAWS = 1_000
Ends = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of `records` each, with these true shares of positive answers."""

    name: str
    shares: tuple[float, ...]
    records: int

    @property
    def truth(self) -> float:
        """The largest difference there is."""
        return max(self.shares) - min(self.shares)


WORLDS = (
    Groups("four groups alike, 60 records each", (0.3,) * 4, 60),
    Groups("eight groups alike, 100 records each", (0.3,) * 8, 100),
    Groups("four groups, one 0.2 above, 60 records each", (0.3, 0.3, 0.3, 0.5), 60),
)


def run() -> list[Cell]:
    """Of each world the share of runs that leave out the truth: ours against either bootstrap."""
    return [cell for world in WORLDS for cell in cells(world, RUNS)]


def cells(world: Groups, runs: int) -> list[Cell]:
    """Ours and each bootstrap, on the same runs."""
    rng, missed = np.random.default_rng(0), np.zeros(3)
    for _ in range(runs):
        hits = rng.binomial(world.records, world.shares)
        value = float(np.ptp(hits / world.records))
        ends = ours(hits, world.records), *bootstraps(rng, hits / world.records, world.records, value)
        missed += [not low - 1e-9 <= world.truth <= high + 1e-9 for low, high in ends]
    mine, percentile, reflected = missed / runs
    named = {"percentiles of a bootstrap": percentile, "reflected bootstrap": reflected}
    return [
        Cell(f"{world.name}: {name}", float(mine), float(other), lower_is_better=True, extra={"runs": runs})
        for name, other in named.items()
    ]


def ours(hits: NDArray[np.int64], records: int) -> Ends:
    """As the probe gives it."""
    level, estimates = level_for(len(hits)), {}
    for group, count in enumerate(hits):
        made = share_estimate(np.arange(records) < count, level, 1)
        assert made is not None
        estimates[str(group)] = made
    _, interval, _ = largest_difference(estimates)
    return interval.low, interval.high


def bootstraps(rng: np.random.Generator, shares: Floats, records: int, value: float) -> tuple[Ends, Ends]:
    """Percentiles of the largest difference of redrawn groups at 95 %, and these reflected at the value."""
    drawn = rng.binomial(records, shares, (DRAWS, len(shares))) / records
    low, high = map(float, np.quantile(np.ptp(drawn, axis=1), [0.025, 0.975]))
    return (low, high), (2 * value - high, 2 * value - low)
