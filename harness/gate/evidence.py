"""What one gate's evidence says, before corrections, waivers and severities. Pure; part of `harness.gate.decide`."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.api.metrics import PROVEN, Metric
from harness.base import numbers
from harness.base.globs import may_begin
from harness.base.hints import closest, did_you_mean
from harness.gate.bounds import unbreakable
from harness.gate.claim_metric import rests_on_claim
from harness.gate.levels import interval_at, p_value
from harness.gate.policy import Deciding, Gate, OnMissing, When
from harness.gate.verdict import Absence, Compared, GateResult, Outcome

_FAR = 1e7
"""Times as wide as its distance from the bound: no number of cases makes such an interval narrow enough."""
_OF_ALL = re.compile(r"raise limits\.cases( by at least [\d,]+, or give more data)?")
_MORE_DATA = "give more data: every case was used"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a gate may look at."""

    metrics: Sequence[Metric]
    incomplete: Mapping[str, str]
    not_applicable: Mapping[str, str]
    no_data: Mapping[str, str]
    left_out: Collection[str]
    """Installed probes that the audit was not asked to run."""
    compared: Compared
    privacy_claim: bool
    claim_doubt: str = ""
    """Why the checkpoint's privacy claim is not verified; '' when it is, or when it makes none."""
    used_up: Collection[str] = ()
    """Probes that took every case their data hold: no limit, raised, gives them more."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A result on its way, with what is to be warned of."""

    result: GateResult
    warning: str = ""

    @property
    def tested(self) -> bool:
        """Whether a block of it would be a finding with a p value, to be corrected for their number."""
        return self.result.p is not None and self.result.gate.evidence.decides in (Deciding.BOTH, Deciding.BEST)

    def having(self, **changes: Any) -> Draft:
        """The same with other fields in the result."""
        return replace(self, result=self.result.model_copy(update=changes))

    def warn(self, warning: str) -> Draft:
        """The same with this warning."""
        return replace(self, warning=warning)


@dataclass(frozen=True, slots=True)
class _Estimate:
    """A number with the interval that decides."""

    value: float
    low: float | None
    high: float | None
    level: float
    what: str
    """Of what, for the sentence, e.g. '(n=100) of quality/classification/accuracy'."""
    n: int
    margin: tuple[float, float] | None = None
    """Least and most that a relative margin may come to; a pass must hold at the least, a block break the most."""

    def holds_in(self, gate: Gate) -> tuple[float, float]:
        """Where it must lie to pass."""
        return gate.allowed if self.margin is None else (-math.inf, self.margin[0])

    def breaks_beyond(self, gate: Gate) -> tuple[float, float]:
        """Outside of which it blocks."""
        return gate.allowed if self.margin is None else (-math.inf, self.margin[1])


def drafts(gate: Gate, facts: Facts) -> list[Draft]:
    """One result for each metric and slice that the gate is about; one that says so when there is none."""
    return [_way_out(draft, facts) for draft in _drafts(gate, facts)]


def _way_out(draft: Draft, facts: Facts) -> Draft:
    """The same, with advice that can be followed where all the data were used."""
    fix, probe = draft.result.fix, draft.result.metric.rpartition("/")[0]
    return draft.having(fix=_OF_ALL.sub(_MORE_DATA, fix)) if probe in facts.used_up else draft


def _drafts(gate: Gate, facts: Facts) -> list[Draft]:
    if gate.when is When.PRIVACY_CLAIM and not facts.privacy_claim:
        why = "not asked for: the checkpoint makes no privacy claim"
        return [_draft(gate, Outcome.INCONCLUSIVE, why, absence=Absence.NOT_ASKED)]
    if facts.claim_doubt and (gate.when is When.PRIVACY_CLAIM or rests_on_claim(gate.metric)):
        return [_doubted(gate, facts)]
    if not gate.is_pattern:
        return [_one(gate, gate.metric, gate.slice, facts)]
    covered = sorted({(each.key, each.slice) for each in facts.metrics if gate.covers(each.key, each.slice)})
    found = [_one(gate, key, part, facts) for key, part in covered]
    for probe in sorted(facts.incomplete):
        unseen = not any(key.rpartition("/")[0] == probe for key, _ in covered)
        if unseen and _may_fit(gate.metric, probe):
            found.append(_missing(gate, Absence.INCOMPLETE, _unfinished(probe, facts), metric=probe))
    return found or [_nothing_fits(gate, facts)]


def alarmed(metric: Metric) -> GateResult:
    """The gate that a metric's own alarm is, blocking."""
    alarm = metric.alarm
    assert alarm is not None  # the caller asked
    value = numbers.number(metric.value, numbers.telling_digits(metric.value or 0.0, alarm.bound))
    return GateResult(
        gate=Gate(
            id=f"alarm: {metric.key}", metric=metric.key, slice=metric.slice, max=alarm.bound, reason=alarm.reason
        ),
        outcome=Outcome.BLOCK,
        effective=Outcome.BLOCK,
        reason=f"{value} > {numbers.bound(alarm.bound)}: {alarm.reason}",
        metric=metric.key,
        slice=metric.slice,
        value=metric.value,
        low=metric.low,
        high=metric.high,
        n=metric.n,
        fix="find the cause before anything else: no policy, waiver or severity lets this pass",
    )


def _nothing_fits(gate: Gate, facts: Facts) -> Draft:
    """A pattern without a metric: not applicable where that holds for every probe it is about."""
    why = f"no metric was measured that fits {_name(gate.metric, gate.slice)}"
    ran = {metric.key.rpartition("/")[0]: "it ran, and has no such metric" for metric in facts.metrics}
    apply = {**dict.fromkeys(facts.left_out, "the audit was not asked to run it"), **facts.no_data, **ran}
    groups = [
        {probe: reasons[probe] for probe in sorted(reasons) if _may_fit(gate.metric, probe)}
        for reasons in (apply, facts.not_applicable)
    ]
    shown = [f"{probe}: {reason}" for group in groups for probe, reason in group.items()]
    reasons = f" ({'; '.join(shown[:4])}{'; …' if len(shown) > 4 else ''})" if shown else ""
    excusable = bool(groups[1]) and not groups[0]
    return _missing(gate, Absence.NOT_APPLICABLE if excusable else Absence.NOT_MEASURED, f"{why}{reasons}")


def _may_fit(pattern: str, probe: str) -> bool:
    """Whether a pattern of metrics can be about a probe whose metrics are unknown."""
    return may_begin(pattern, f"{probe}/")


def _one(gate: Gate, key: str, part: str, facts: Facts) -> Draft:
    same_key = [metric for metric in facts.metrics if metric.key == key]
    found = [metric for metric in same_key if metric.slice == part]
    about: dict[str, Any] = {"metric": key, "slice": part}
    if facts.claim_doubt and rests_on_claim(key):
        return _doubted(gate, facts, **about)
    probe = key.rpartition("/")[0]
    unfinished = _unfinished(probe, facts)
    if len(found) != 1:
        absence, why = _absent(probe, facts)
        return _missing(gate, absence, why or _not_found(key, part, facts.metrics, same_key, len(found)), **about)
    metric = found[0]
    about |= {"value": metric.value, "low": metric.low, "high": metric.high, "n": metric.n}
    if unfinished:
        return _missing(gate, Absence.INCOMPLETE, unfinished, **about)
    if metric.value is None:
        return _missing(gate, Absence.NO_VALUE, f"{_name(key, part)} is missing: {metric.note}", **about)
    if gate.measured:
        return _draft(gate, Outcome.PASS, f"{_name(key, part)} was measured", **about)
    if why := unbreakable(gate, metric):
        return _draft(gate, Outcome.INCONCLUSIVE, why, fix="correct the bound", **about)
    if gate.baseline is not None:
        return _against_baseline(gate, metric, facts.compared, about)
    return _absolute(gate, metric, about)


def _absent(probe: str, facts: Facts) -> tuple[Absence, str]:
    """Why a probe gave no metric, as far as its audit knows."""
    if probe in facts.incomplete:
        return Absence.INCOMPLETE, _unfinished(probe, facts)
    if probe in facts.not_applicable:
        return Absence.NOT_APPLICABLE, f"{probe} does not apply: {facts.not_applicable[probe]}"
    if probe in facts.no_data:
        return Absence.NOT_MEASURED, f"{probe} was not run: {facts.no_data[probe]}"
    return Absence.NOT_MEASURED, ""


def _absolute(gate: Gate, metric: Metric, about: dict[str, Any]) -> Draft:
    name = _name(metric.key, metric.slice)
    if _is_outside(metric):
        why = f"{name} is {numbers.number(metric.value)}, outside its own interval: it cannot decide {gate.rule}"
        return _draft(gate, Outcome.INCONCLUSIVE, why, fix="report it to the maker of the probe", **about)
    if metric.interval == PROVEN and metric.value is not None:
        return _proven(gate, metric.value, name, about)
    if metric.low is None and metric.high is None:
        return _draft(gate, Outcome.INCONCLUSIVE, f"{name} has no confidence interval", **about)
    lacking, fix = _lacking(gate, name, metric.n, metric.missing, "observations")
    if lacking:
        return _draft(gate, Outcome.INCONCLUSIVE, lacking, fix=fix, **about)
    if metric.low == metric.high and metric.interval != PROVEN:
        why = f"{name} has an interval without width, which no sample can have: it cannot decide {gate.rule}"
        return _draft(gate, Outcome.INCONCLUSIVE, why, fix="measure it again with this version of Assay", **about)
    level = gate.evidence.confidence or metric.level
    low, high = interval_at(metric, level)
    value = 0.0 if metric.value is None else metric.value
    estimate = _Estimate(value, low, high, level, f"(n={metric.n}) of {name}", metric.n)
    about |= {"low": low, "high": high, "p": p_value(metric, *gate.allowed), "alpha": (1 - level) / 2}
    return _compare(gate, estimate, about)


def _is_outside(metric: Metric) -> bool:
    """Whether a value lies beyond the ends of its interval by more than rounding."""
    if metric.value is None:
        return False
    slack = 1e-9 * max(1.0, abs(metric.value))
    below = metric.low is not None and metric.value < metric.low - slack
    return below or (metric.high is not None and metric.value > metric.high + slack)


def _proven(gate: Gate, value: float, name: str, about: dict[str, Any]) -> Draft:
    """A number without error decides alone: no interval, no least number of examples, no test to correct."""
    lowest, highest = gate.allowed
    digits = max(numbers.telling_digits(value, limit) for limit in gate.allowed if math.isfinite(limit))
    outcome, relation = (Outcome.PASS, "satisfies") if lowest <= value <= highest else (Outcome.BLOCK, "violates")
    reason = f"the proven bound {numbers.number(value, digits)} of {name} {relation} {gate.rule}"
    return _draft(gate, outcome, reason, **about)


def _against_baseline(gate: Gate, metric: Metric, compared: Compared, about: dict[str, Any]) -> Draft:
    name = _name(metric.key, metric.slice)
    found = compared.comparisons.get((gate.id, metric.key, metric.slice))
    if found is None:
        why = f"{name} has no baseline: {compared.why_not or 'none was given'}"
        return _missing(gate, compared.absence, why, fix="give --baseline, or `baseline` in the policy", **about)
    about |= {"comparison": found}
    if found.regression is None:
        why = f"{name} cannot be compared with the baseline: {found.note}"
        return _missing(gate, Absence.NO_BASELINE, why, fix="audit the baseline again, as this was audited", **about)
    lacking, fix = _lacking(gate, f"the comparison of {name}", found.n, found.unusable, "pairs")
    if lacking:
        return _draft(gate, Outcome.INCONCLUSIVE, lacking, fix=fix, **about)
    estimate = _Estimate(
        found.regression,
        found.low,
        found.high,
        found.level,
        f"(n={found.n} pairs) of the regression of {name}",
        found.n,
        found.margin,
    )
    about |= {"p": found.p, "alpha": (1 - found.level) / 2}
    return _compare(gate, estimate, about)


def _compare(gate: Gate, estimate: _Estimate, about: dict[str, Any]) -> Draft:
    """Compare the interval, not the point, with the rule; a missing end is as far away as can be."""
    lowest, highest = estimate.holds_in(gate)
    low, high = estimate.low, estimate.high
    if gate.evidence.decides is Deciding.POINT:
        low = high = estimate.value
    holds = lowest <= (-math.inf if low is None else low) and (math.inf if high is None else high) <= highest
    lowest, highest = estimate.breaks_beyond(gate)
    broken = (low is not None and low > highest) or (high is not None and high < lowest)
    if holds:
        outcome, relation = Outcome.PASS, "satisfies"
    elif broken:
        outcome, relation = Outcome.BLOCK, "violates"
    else:
        outcome, relation = _undecided(gate)
    fix = _more_cases(gate, estimate) if outcome is Outcome.INCONCLUSIVE else ""
    margin = estimate.margin
    came = f" ({numbers.number(margin[0], 3)} to {numbers.number(margin[1], 3)})" if margin else ""
    return _draft(gate, outcome, f"{_sure(gate, estimate)} {relation} {gate.rule}{came}", fix=fix, **about)


def _undecided(gate: Gate) -> tuple[Outcome, str]:
    """What an interval that straddles the bound means, by who must prove what."""
    if gate.evidence.decides is Deciding.WORST:
        return Outcome.BLOCK, "only partly satisfies (its worst end decides)"
    if gate.evidence.decides is Deciding.BEST:
        return Outcome.PASS, "does not wholly violate (its best end decides)"
    return Outcome.INCONCLUSIVE, "only partly satisfies"


def _sure(gate: Gate, estimate: _Estimate) -> str:
    limits = [limit for limit in (*estimate.holds_in(gate), *estimate.breaks_beyond(gate)) if math.isfinite(limit)]
    point = gate.evidence.decides is Deciding.POINT
    ends = (estimate.value,) if point else (estimate.low, estimate.high)
    digits = max(numbers.telling_digits(end, limit) for end in ends for limit in limits)
    if point:
        return f"the estimate {numbers.number(estimate.value, digits)} {estimate.what}"
    shown = numbers.interval(estimate.low, estimate.high, digits)
    return f"the {numbers.percent(estimate.level)} interval {shown} {estimate.what}"


def _more_cases(gate: Gate, estimate: _Estimate) -> str:
    """How many cases would decide if the estimate stayed; an interval shrinks with the root of their number."""
    if estimate.margin is not None:
        return "raise limits.cases; more cases narrow the regression and the baseline's value"
    lowest, highest = gate.allowed
    needed = 0.0
    sides = ((estimate.low, lowest), (estimate.low, highest), (estimate.high, lowest), (estimate.high, highest))
    for end, limit in sides:
        if end is None or not math.isfinite(limit) or (estimate.value - limit) * (end - limit) > 0:
            continue
        distance = abs(estimate.value - limit)
        if distance == 0:
            return "the estimate lies on the bound: no number of cases decides"
        needed = max(needed, estimate.n * min(abs(end - estimate.value) / distance, _FAR) ** 2)
    if not needed:
        return "raise limits.cases, or measure a metric with an interval on both sides"
    return f"if the estimate stays, about {_round_up(needed * (1 - 1e-9))} cases decide; raise limits.cases"


def _round_up(count: float) -> str:
    """Two significant digits are all that such an estimate carries."""
    if count > 1e12:
        return "more than 10^12"
    digits = max(0, len(str(math.ceil(count))) - 2)
    return f"{math.ceil(count / 10**digits) * 10**digits:,}"


def _lacking(gate: Gate, name: str, n: int, missing: int, unit: str) -> tuple[str, str]:
    """What evidence there is too little of, and the way out; '' when there is enough."""
    if n < gate.min_examples:
        why = f"{name} rests on {n} {unit}, the gate asks for {gate.min_examples}"
        return why, f"raise limits.cases by at least {gate.min_examples - n}, or give more data"
    lost = missing / (n + missing)
    if lost > gate.max_missing:
        share, allowed = numbers.percent(lost), numbers.percent(gate.max_missing)
        return f"{share} of the cases of {name} gave no usable row, the gate allows {allowed}", "see the error rows"
    return "", ""


def _missing(gate: Gate, absence: Absence, why: str, *, fix: str = "", **about: Any) -> Draft:
    """A gate whose metric or baseline is not there: excused by the policy's word for it, else as `on_missing` says."""
    excused = absence.excuse is not None and absence.excuse in gate.excuse
    block = gate.on_missing is OnMissing.BLOCK and not excused
    fix = fix or "measure it: add its probe or data to the spec, or correct the gate"
    outcome = Outcome.BLOCK if block else Outcome.INCONCLUSIVE
    draft = _draft(gate, outcome, why, fix="" if excused else fix, absence=absence, **about)
    return draft.warn(f"gate {gate.id!r} was not measured, excused as {absence}: {why}") if excused else draft


def _doubted(gate: Gate, facts: Facts, **about: Any) -> Draft:
    """A gate that rests on a privacy claim which nobody could verify: it never passes, whatever `on_missing` says."""
    outcome = Outcome.BLOCK if gate.on_missing is OnMissing.BLOCK else Outcome.INCONCLUSIVE
    why = f"the privacy claim of the checkpoint is not verifiable: {facts.claim_doubt}"
    fix = "audit it with the ledger and the manifest that its training wrote"
    return _draft(gate, outcome, why, fix=fix, absence=Absence.NOT_VERIFIED, **about)


def _draft(gate: Gate, outcome: Outcome, reason: str, **about: Any) -> Draft:
    return Draft(GateResult(gate=gate, outcome=outcome, reason=reason, **about))


def _unfinished(probe: str, facts: Facts) -> str:
    return f"{probe} did not finish: {facts.incomplete[probe]}" if probe in facts.incomplete else ""


def _not_found(key: str, part: str, metrics: Sequence[Metric], same_key: Sequence[Metric], count: int) -> str:
    if count > 1:
        return f"{_name(key, part)} was measured {count} times, which one is meant is unknown"
    if same_key:
        slices = ", ".join(sorted(repr(metric.slice) if metric.slice else "all rows" for metric in same_key))
        return f"{_name(key, part)} was not measured; the metric was for {slices}"
    hint = did_you_mean(key, (metric.key for metric in metrics if _slip(key, metric.key)))
    return f"{key} was not measured{hint}"


def _slip(key: str, other: str) -> bool:
    """Whether `key` may be `other` misspelt: part by part, as two probes of a suite share much of their names.

    Three quarters of a probe's letters part `textfooler` from `textfooler_adjusted`.
    """
    *probe, name = key.split("/")
    *measured, known = other.split("/")
    return (
        len(probe) == len(measured)
        and all(closest(part, [with_], cutoff=0.75) for part, with_ in zip(probe, measured, strict=True))
        and closest(name, [known]) is not None
    )


def _name(key: str, part: str) -> str:
    return f"{key} [{part}]" if part else key
