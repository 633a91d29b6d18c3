"""Power before work: which gates the planned cases can decide, and how many cases each would need. Pure.

For shares of independent cases the answer is exact: Clopper-Pearson's interval decides, and the chance that it does
follows from the binomial distribution. For other metrics an earlier audit says how wide the interval is; without one it
is unknown.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from scipy.special import betainc, betaincinv, ndtri

from harness.api.metrics import Metric
from harness.base import numbers
from harness.base.hints import did_you_mean
from harness.gate.claim_metric import CLAIM_METRIC
from harness.gate.policy import Deciding, Gate, Policy, matches
from harness.scan.record import SCAN_METRIC
from harness.stats.paired import POWER, flip_regression

_LEVEL = 0.95
_AWAY = 0.05
"""How far inside its bound a share is taken to be, where no earlier audit says."""
_DIFFERING = 0.1
"""Share of pairs that are taken to differ between candidate and baseline."""
_MOST = 10**8


@dataclass(frozen=True, slots=True)
class Planned:
    """What is known of a probe before the audit."""

    cases: int
    metrics: frozenset[str]
    """Last parts of the keys it measures, as far as is known without rows."""
    shares: frozenset[str]
    """Those that are shares of independent cases."""


@dataclass(frozen=True, slots=True)
class GatePower:
    """What the planned cases can decide of one gate.

    Attributes:
        gate: the gate.
        n: planned cases; None where its probe is not planned.
        can: whether it can be decided; None: unknown.
        what: when it would be, in words.
        needed: cases that would decide it under that assumption; None: unknown.
    """

    gate: Gate
    n: int | None
    can: bool | None
    what: str
    needed: int | None = None


def plan_power(
    policy: Policy, planned: Mapping[str, Planned], not_planned: Mapping[str, str], earlier: Sequence[Metric] = ()
) -> list[GatePower]:
    """One answer per gate.

    Args:
        policy: the gates.
        planned: probes of the plan by name.
        not_planned: probes that do not apply -> why.
        earlier: metrics of an earlier audit, whose values and intervals are taken for the coming ones.
    """
    return [_gate_power(gate, planned, not_planned, earlier) for gate in policy.gates]


def _gate_power(
    gate: Gate, planned: Mapping[str, Planned], not_planned: Mapping[str, str], earlier: Sequence[Metric]
) -> GatePower:
    probe, _, last = gate.metric.rpartition("/")
    if gate.metric == CLAIM_METRIC:
        return GatePower(gate, None, None, "decided by the privacy ledger of the checkpoint, at any number of cases")
    if gate.metric == SCAN_METRIC:
        return GatePower(gate, None, None, "decided by the scan of the checkpoint's files, at any number of cases")
    if gate.is_pattern:
        fitting = [name for name in planned if matches(gate.metric, f"{name}/") or matches(probe, name)]
        cases = min((planned[name].cases for name in fitting), default=None)
        why = f"a pattern over {len(fitting)} planned probes; each metric decides alone"
        return GatePower(
            gate, cases, None if fitting else False, why if fitting else "no planned probe fits the pattern"
        )
    if probe not in planned:
        return GatePower(gate, None, False, _unplanned(probe, planned, not_planned))
    known = planned[probe]
    if known.metrics and last not in known.metrics and (hint := did_you_mean(last, known.metrics)):
        return GatePower(gate, known.cases, None, f"unknown: {probe} may not measure {last!r}{hint}")
    if gate.measured:
        return GatePower(gate, known.cases, True, "any value will do", 1)
    answer = _answer(gate, known, last, earlier)
    if known.cases < gate.min_examples:
        what = f"fewer cases than min_examples ({gate.min_examples}); {answer.what}"
        return replace(answer, can=False, what=what, needed=max(gate.min_examples, answer.needed or 0))
    return answer


def _answer(gate: Gate, known: Planned, last: str, earlier: Sequence[Metric]) -> GatePower:
    found = [metric for metric in earlier if (metric.key, metric.slice) == (gate.metric, gate.slice)]
    metric = found[0] if len(found) == 1 else None
    if gate.evidence.decides in (Deciding.POINT, Deciding.WORST, Deciding.BEST):
        return GatePower(gate, known.cases, True, f"decides at any n, by {gate.evidence.decides}", gate.min_examples)
    if gate.baseline is not None:
        return _baseline_power(gate, known, last)
    if last in known.shares and not gate.slice:
        return _share_power(gate, known.cases, metric)
    if metric is not None and metric.value is not None and metric.n > 0:
        return _scaled_power(gate, known.cases, metric)
    return GatePower(gate, known.cases, None, "unknown: no share of cases, and no earlier audit to go by (--like)")


def _share_power(gate: Gate, n: int, metric: Metric | None) -> GatePower:
    """Exact, for Clopper and Pearson's interval. A bound at 0 or 1 cannot pass, whatever n."""
    level = gate.evidence.confidence or _LEVEL
    lowest, highest = _unit_bounds(gate)
    passing, blocking = pass_range(n, lowest, highest, level)
    true = metric.value if metric is not None and metric.value is not None else _inside(lowest, highest)
    needed = cases_needed(lambda size: _decided(size, lowest, highest, level, true))
    where = f"at {numbers.number(true, 3)}{'' if metric is None else ' as before'}"
    never = highest <= 0 or lowest >= 1
    why = "no sample proves a share of exactly 0 or 1" if never else "even the best result leaves the interval too wide"
    parts = [f"passes at {passing}" if passing else f"cannot pass: {why}"]
    parts += [f"blocks at {blocking}"] if blocking else []
    return GatePower(gate, n, bool(passing), f"{', '.join(parts)} (needs: {where})", needed)


def pass_range(n: int, lowest: float, highest: float, level: float) -> tuple[str, str]:
    """True shares at which n cases pass, and block, a bound in 8 of 10 audits, in words; '' where none does."""
    region = _region(n, lowest, highest, level)
    passing = ""
    if region.fewest <= region.most:
        if lowest <= 0:
            passing = f"<= {numbers.number(_below(region.most, n), 3)}"
        elif highest >= 1:
            passing = f">= {numbers.number(1 - _below(n - region.fewest, n), 3)}"
        elif region.passes(_inside(lowest, highest)) >= POWER:
            passing = numbers.number(_inside(lowest, highest), 3)
    ends = []
    if region.too_few >= 0:
        ends.append(f"<= {numbers.number(_below(region.too_few, n), 3)}")
    if region.too_many <= n:
        ends.append(f">= {numbers.number(1 - _below(n - region.too_many, n), 3)}")
    return passing, " or ".join(ends)


def cases_needed(decided: Callable[[int], float]) -> int | None:
    """Smallest n, about, whose chance `decided(n)` is at least `POWER`; None where no sensible n has it."""
    high = 1
    while decided(high) < POWER:
        high *= 2
        if high > _MOST:
            return None
    low = high // 2
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) >= POWER else (middle, high)
    return high


def _baseline_power(gate: Gate, known: Planned, last: str) -> GatePower:
    if last not in known.shares or gate.baseline is None or gate.baseline.relative:
        return GatePower(gate, known.cases, None, "unknown: depends on how much the pairs differ")
    level = gate.evidence.confidence or _LEVEL
    margin = gate.baseline.max_regression
    flips = round(_DIFFERING * known.cases / 2)
    detectable = flip_regression(flips, flips, max(1, known.cases), margin=margin, level=level).detectable
    what = f"if one pair in ten differs: blocks a regression of {numbers.number(detectable, 3)}"
    if margin == 0:
        return GatePower(gate, known.cases, True, f"{what}; an equal model stays undecided at a margin of 0", None)
    reach = float(ndtri((1 + level) / 2) + ndtri(POWER))
    needed = math.ceil(_DIFFERING * (reach / margin) ** 2)
    return GatePower(gate, known.cases, known.cases >= needed, f"{what}, passes an equal model with the needed", needed)


def _scaled_power(gate: Gate, n: int, metric: Metric) -> GatePower:
    """By the interval of an earlier audit, which shrinks with the root of n."""
    value = 0.0 if metric.value is None else metric.value
    lowest, highest = gate.allowed
    inside = lowest <= value <= highest
    limits = [limit for limit in (lowest, highest) if math.isfinite(limit)]
    nearest = limits if inside else [min(limits, key=lambda limit: abs(limit - value))]
    needed = 0.0
    for limit in nearest:
        end = metric.low if limit < value else metric.high
        distance = abs(value - limit)
        if end is None or distance == 0:
            return GatePower(gate, n, None, f"unknown: the earlier value {numbers.number(value)} gives no distance")
        spread = abs(end - value) * (1 + float(ndtri(POWER) / ndtri((1 + metric.level) / 2)))
        needed = max(needed, metric.n * (spread / distance) ** 2)
    verb = "passes" if inside else "blocks"
    count = max(1, math.ceil(needed))
    return GatePower(gate, n, n >= count, f"{verb} at {numbers.number(value)}, as before", count)


@dataclass(frozen=True, slots=True)
class _Region:
    """Hits of n with which the interval decides: it passes from `fewest` to `most`, blocks beyond the other two."""

    n: int
    fewest: int
    most: int
    too_few: int
    """-1: none are."""
    too_many: int
    """n + 1: none are."""

    def passes(self, true: float) -> float:
        """Chance of passing at a true share."""
        return max(0.0, _at_least(self.fewest, self.n, true) - _at_least(self.most + 1, self.n, true))

    def blocks(self, true: float) -> float:
        """Chance of blocking at a true share."""
        return 1 - _at_least(self.too_few + 1, self.n, true) + _at_least(self.too_many, self.n, true)


def _region(n: int, lowest: float, highest: float, level: float) -> _Region:
    """Where Clopper and Pearson's ends, quantiles of binomial tails, cross the bounds."""
    tail = (1 - level) / 2
    fewest = 0 if lowest <= 0 else _first(n, lambda hits: _at_least(hits, n, lowest) <= tail)
    too_many = n + 1 if highest >= 1 else _first(n, lambda hits: _at_least(hits, n, highest) <= tail)
    most = n if highest >= 1 else _first(n, lambda hits: 1 - _at_least(hits + 1, n, highest) > tail) - 1
    too_few = -1 if lowest <= 0 else _first(n, lambda hits: 1 - _at_least(hits + 1, n, lowest) > tail) - 1
    return _Region(n, fewest, most, too_few, too_many)


def _first(n: int, holds: Callable[[int], bool]) -> int:
    """The smallest number of hits from which on something holds; n + 1 where it never does."""
    return bisect_left(range(n + 1), x=True, key=holds)


def _decided(n: int, lowest: float, highest: float, level: float, true: float) -> float:
    """Chance that n cases pass (or, outside the bounds, block) at a true share."""
    region = _region(n, lowest, highest, level)
    return region.passes(true) if lowest <= true <= highest else region.blocks(true)


def _at_least(hits: int, n: int, true: float) -> float:
    if hits <= 0:
        return 1.0
    return 0.0 if hits > n else float(betainc(hits, n - hits + 1, true))


def _below(hits: int, n: int) -> float:
    """The true share at which `hits` or fewer of n come up in `POWER` of all audits."""
    return 1.0 if hits >= n else 1 - float(betaincinv(n - hits, hits + 1, POWER))


def _unit_bounds(gate: Gate) -> tuple[float, float]:
    lowest, highest = gate.allowed
    return max(0.0, lowest), min(1.0, highest)


def _inside(lowest: float, highest: float) -> float:
    """A share well inside its bounds."""
    if lowest <= 0:
        return max(highest - _AWAY, highest / 2)
    return min(lowest + _AWAY, (1 + lowest) / 2) if highest >= 1 else (lowest + highest) / 2


def _unplanned(probe: str, planned: Mapping[str, Planned], not_planned: Mapping[str, str]) -> str:
    if probe in not_planned:
        return f"{probe} does not apply: {not_planned[probe]}"
    return f"{probe} is not in the plan{did_you_mean(probe, planned)}"
