"""The gate: a policy and metrics in, one verdict out. Pure; nothing else in Assay decides anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date

from harness.api.metrics import Metric
from harness.base import numbers
from harness.gate.evidence import Draft, Facts, alarmed, drafts
from harness.gate.levels import corrected
from harness.gate.policy import Correction, Deciding, Gate, Policy, Severity
from harness.gate.verdict import Compared, GateResult, Outcome, Verdict, WaiverState
from harness.gate.waivers import load_policy

__all__ = ["NO_POLICY", "Gate", "GateResult", "Outcome", "Policy", "Verdict", "decide", "load_policy"]

NO_POLICY = "no policy was given: nothing was decided"
_SLACK = 1 + 1e-6
"""An interval and a p value of the same data differ by rounding."""
_NAMES = {Correction.HOLM: "Holm's correction", Correction.BH: "Benjamini and Hochberg's correction"}


def decide(
    policy: Policy | None,
    metrics: Sequence[Metric],
    *,
    incomplete: Mapping[str, str] | None = None,
    not_applicable: Mapping[str, str] | None = None,
    no_data: Mapping[str, str] | None = None,
    left_out: Collection[str] = (),
    compared: Compared | None = None,
    privacy_claim: bool = False,
    claim_doubt: str = "",
    used_up: Collection[str] = (),
    today: date | None = None,
) -> Verdict:
    """The verdict of `policy` on `metrics`.

    Each gate tests its bound once on either side: it passes when the whole interval holds and blocks when the whole
    interval breaks the rule. A release passes only if every gate does, so passes need no correction for their number
    (an intersection-union test, Berger 1982); blocks are corrected if the policy says so, over the gates of the same
    severity. Any gate that blocks blocks the release; else any undecided one leaves it inconclusive; else it passes,
    if there is a gate that counts: one that is more than information, and was measured or waived. A metric with an
    alarm blocks whatever the policy says, and where there is none: it stands first, as a gate that nobody can waive.

    Args:
        policy: the rules; None, or one without gates, decides nothing.
        metrics: of the candidate.
        incomplete: probes that did not finish -> why.
        not_applicable: probes that cannot measure such a checkpoint -> why.
        no_data: probes that were not run since nothing was given to them -> why.
        left_out: installed probes that the audit was not asked to run.
        compared: the candidate's rows beside the baseline's.
        privacy_claim: whether the checkpoint claims differential privacy.
        claim_doubt: why that claim is not verified; '' when it is. No gate that rests on it passes otherwise.
        used_up: probes that took every case their data hold.
        today: the day waivers are judged by; None: no waiver holds.
    """
    alarms = [alarmed(metric) for metric in metrics if metric.alarm is not None]
    named = {"policy": policy.name, "policy_digest": policy.digest()} if policy else {}
    if policy is None or not policy.all_gates:
        return _by_alarms(alarms, today, named)
    facts = Facts(
        metrics,
        incomplete or {},
        not_applicable or {},
        no_data or {},
        left_out,
        compared or Compared(),
        privacy_claim,
        claim_doubt,
        used_up,
    )
    return _by_gates(policy, facts, alarms, today, named)


def _by_gates(
    policy: Policy, facts: Facts, alarms: Sequence[GateResult], today: date | None, named: Mapping[str, str]
) -> Verdict:
    found = _correct([draft for gate in policy.all_gates for draft in drafts(gate, facts)], policy.correction)
    weighed = [_weigh(draft, today) for draft in found]
    results = (*alarms, *(draft.result for draft in weighed))
    outcome, reason = _overall(results)
    return Verdict(
        outcome=outcome,
        reason=reason,
        gates=results,
        **named,
        baseline=facts.compared.record,
        warnings=(*(draft.warning for draft in weighed if draft.warning), *facts.compared.warnings),
        decided_on=today,
    )


def _by_alarms(alarms: Sequence[GateResult], today: date | None, named: Mapping[str, str]) -> Verdict:
    """The verdict where no gate was asked for."""
    if not alarms:
        return Verdict(outcome=Outcome.INCONCLUSIVE, reason=NO_POLICY, **named)
    outcome, reason = _overall(alarms)
    return Verdict(outcome=outcome, reason=reason, gates=tuple(alarms), decided_on=today, **named)


def _correct(found: Sequence[Draft], method: Correction) -> list[Draft]:
    """Blocks that do not stand up to the number of gates of their severity are taken back."""
    out = list(found)
    for severity in Severity:
        family = [at for at, draft in enumerate(found) if draft.tested and draft.result.severity is severity]
        p = [found[at].result.p or 0.0 for at in family]
        alphas = [found[at].result.alpha or 0.0 for at in family]
        for at, value in zip(family, corrected(p, alphas, method), strict=True):
            out[at] = _corrected(found[at], value, method, len(family))
    return out


def _corrected(draft: Draft, p: float, method: Correction, family: int) -> Draft:
    result = draft.result
    stands = method is Correction.NONE or p <= (result.alpha or 0.0) * _SLACK
    if result.outcome is not Outcome.BLOCK or stands:
        return draft.having(p_corrected=p)
    why = (
        f"{result.reason}, but not after {_NAMES[method]} over {family} gates "
        f"(p {numbers.number(p, numbers.telling_digits(p, result.alpha or 0.0))} > {numbers.number(result.alpha, 2)})"
    )
    lenient = result.gate.evidence.decides is Deciding.BEST
    outcome = Outcome.PASS if lenient else Outcome.INCONCLUSIVE
    return draft.having(p_corrected=p, outcome=outcome, reason=why, fix="" if lenient else "add cases to this gate")


def _weigh(draft: Draft, today: date | None) -> Draft:
    """What the gate means for the release: its outcome after waiver and severity, with a warning where it needs one."""
    result, waiver = draft.result, draft.result.gate.waiver
    if not result.asked:
        return draft.having(effective=Outcome.PASS)
    state, effective, reason, fix = WaiverState.NONE, result.outcome, result.reason, result.fix
    warning = draft.warning
    if result.excused:
        effective = Outcome.PASS
    if waiver is not None:
        expired = today is None or today > waiver.until
        answer = f"{waiver.by} until {waiver.until}{f', granted by {waiver.owner}' if waiver.owner else ''}"
        if effective is Outcome.PASS:
            state = WaiverState.EXPIRED if expired else WaiverState.UNUSED
            if not result.excused:
                warning = f"gate {result.gate.id!r} passes without its waiver (by {answer}); remove it"
        elif expired:
            state, effective = WaiverState.EXPIRED, Outcome.BLOCK
            reason = f"its waiver by {waiver.by} ended on {waiver.until}, and {reason}"
            fix = "meet the rule, or have the waiver renewed"
        else:
            state, effective = WaiverState.ACTIVE, Outcome.PASS
            reason = f"{reason}; waived by {answer}: {waiver.reason}"
            warning = f"gate {result.gate.id!r} is waived by {answer} ({waiver.reason}): {result.reason}"
    lenient = result.severity is not Severity.BLOCK and state is not WaiverState.EXPIRED
    if lenient and effective is not Outcome.PASS:
        warning = f"gate {result.gate.id!r}: {reason}" if result.severity is Severity.WARN else ""
        effective = Outcome.PASS
    return draft.having(waiver=state, effective=effective, reason=reason, fix=fix).warn(warning)


def _overall(results: Sequence[GateResult]) -> tuple[Outcome, str]:
    """The verdict, and one sentence that also says what was not measured, waived or only warned about."""
    rest = _beside(results)
    for outcome, verb in ((Outcome.BLOCK, "blocked"), (Outcome.INCONCLUSIVE, "not decided")):
        found = [result for result in results if result.effective is outcome]
        if found:
            absent = sum(result.absence is not None for result in found)
            unmeasured = f" ({absent} of them not measured)" if absent and len(found) > 1 else ""
            first = f"{'first ' if len(found) > 1 else ''}{found[0].gate.id}: {found[0].reason}"
            return outcome, "; ".join([f"{len(found)} of {len(results)} gates {verb}{unmeasured}", *rest, first])
    good = [result for result in results if result.outcome is Outcome.PASS]
    lenient = [result for result in good if result.gate.evidence.decides in (Deciding.BEST, Deciding.POINT)]
    by_less = f" ({len(lenient)} by its best end or the estimate alone)" if lenient else ""
    passed = f"{len(good)} of {len(results)} gates passed{by_less}"
    if not any(_counts(result) for result in results):
        return Outcome.INCONCLUSIVE, "; ".join(["nothing was decided: no gate that counts was measured", passed, *rest])
    whole = all(result.gate.evidence.decides is Deciding.BOTH and result.low is not None for result in good)
    return Outcome.PASS, "; ".join(
        [f"{passed}{' with their whole confidence interval' if good and whole else ''}", *rest]
    )


def _counts(result: GateResult) -> bool:
    """Whether a gate says anything for the release: not information, nor what nobody measured or answers for."""
    return (result.absence is None or result.waived) and result.severity is not Severity.INFO


def _beside(results: Iterable[GateResult]) -> list[str]:
    """How many gates that were not met do not count, and why."""
    failed = [result for result in results if result.outcome is not Outcome.PASS and result.effective is Outcome.PASS]
    waived = [result for result in failed if result.waived]
    excused = [result for result in failed if result.excused and not result.waived]
    rest = [result for result in failed if result.asked and not result.waived and not result.excused]
    parts = [f"{len(waived)} waived"] if waived else []
    words = Counter(str(result.absence) for result in excused)
    parts += [f"{count} not measured (excused: {word})" for word, count in words.items()]
    for severity, verb in ((Severity.WARN, "only warned about"), (Severity.INFO, "for information only")):
        found = [result for result in rest if result.severity is severity]
        absent = sum(result.absence is not None for result in found)
        if found:
            parts.append(f"{len(found)} not met, {verb}{f' ({absent} not measured)' if absent else ''}")
    others = sum(not result.asked for result in failed)
    return [*parts, f"{others} not asked for"] if others else parts
