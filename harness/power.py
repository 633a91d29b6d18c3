"""Power before work: which gates the planned cases can decide, and how many cases each would need. Pure.

For shares of independent cases the answer is exact: Wilson's interval decides, and the chance that it does follows from
the binomial distribution. For other metrics an earlier audit says how wide the interval is; without one it is unknown.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betainc, betaincinv, ndtri

from harness import numbers
from harness.claim_metric import CLAIM_METRIC
from harness.metrics import Metric
from harness.paired import POWER, flip_regression
from harness.policy import Deciding, Gate, Policy, matches
from harness.scan.record import SCAN_METRIC

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
    if known.metrics and last not in known.metrics and (hint := _hint(last, known.metrics)):
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
    """Exact, for Wilson's interval."""
    level = gate.evidence.confidence or _LEVEL
    lowest, highest = _unit_bounds(gate)
    passing, blocking = pass_range(n, lowest, highest, level)
    true = metric.value if metric is not None and metric.value is not None else _inside(lowest, highest)
    needed = cases_needed(lambda size: _decided(size, lowest, highest, level, true))
    where = f"at {numbers.number(true, 3)}{'' if metric is None else ' as before'}"
    parts = [f"passes at {passing}" if passing else "cannot pass: even the best result leaves the interval too wide"]
    parts += [f"blocks at {blocking}"] if blocking else []
    return GatePower(gate, n, bool(passing), f"{', '.join(parts)} (needs: {where})", needed)


def pass_range(n: int, lowest: float, highest: float, level: float) -> tuple[str, str]:
    """True shares at which n cases pass, and block, a bound in 8 of 10 audits, in words; '' where none does."""
    holds, broken = _regions(n, lowest, highest, level)
    passing = blocking = ""
    if lowest <= 0 and holds.any():
        passing = f"<= {numbers.number(_below(int(holds.nonzero()[0].max()), n), 3)}"
    elif highest >= 1 and holds.any():
        passing = f">= {numbers.number(1 - _below(n - int(holds.nonzero()[0].min()), n), 3)}"
    elif holds.any():
        middle = _inside(lowest, highest)
        passing = f"{numbers.number(middle, 3)}" if _chance(holds, n, middle) >= POWER else ""
    too_many = broken & (np.arange(n + 1) > n * highest)
    too_few = broken & (np.arange(n + 1) < n * lowest)
    ends = []
    if too_few.any():
        ends.append(f"<= {numbers.number(_below(int(too_few.nonzero()[0].max()), n), 3)}")
    if too_many.any():
        ends.append(f">= {numbers.number(1 - _below(n - int(too_many.nonzero()[0].min()), n), 3)}")
    blocking = " or ".join(ends)
    return passing, blocking


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
    if last not in known.shares or gate.baseline is None:
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


def _decided(n: int, lowest: float, highest: float, level: float, true: float) -> float:
    """Chance that n cases pass (or, outside the bounds, block) at a true share."""
    if n > 20_000:  # normal: as good as exact there, and without an array of n + 1 counts
        spread = math.sqrt(true * (1 - true) / n)
        limits = [limit for limit in (lowest, highest) if 0 < limit < 1]
        z = float(ndtri((1 + level) / 2))
        reach = min((abs(true - limit) - z * math.sqrt(limit * (1 - limit) / n) for limit in limits), default=1.0)
        return float(reach >= spread * float(ndtri(POWER)))
    holds, broken = _regions(n, lowest, highest, level)
    return _chance(holds if lowest <= true <= highest else broken, n, true)


def _regions(n: int, lowest: float, highest: float, level: float) -> tuple[np.ndarray, np.ndarray]:
    """For 0..n hits: whether Wilson's interval holds the bounds, and whether it wholly breaks them; [n + 1] each."""
    share = np.arange(n + 1) / n
    z2 = float(ndtri((1 + level) / 2)) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    low, high = np.maximum(0, np.minimum(centre - half, share)), np.minimum(1, np.maximum(centre + half, share))
    return (low >= lowest) & (high <= highest), (low > highest) | (high < lowest)


def _chance(region: np.ndarray, n: int, true: float) -> float:
    """P(hits in region), hits ~ Binomial(n, true); regions are runs of counts, or two runs at the ends."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], region, [False]]).astype(np.int8)))
    total = 0.0
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        total += _at_least(int(start), n, true) - _at_least(int(stop), n, true)
    return total


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
    return f"{probe} is not in the plan{_hint(probe, planned)}"


def _hint(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, sorted(known), 1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
