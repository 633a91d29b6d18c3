"""The epsilon that a training claims beside what an audit proves of it; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from harness.api.metrics import Metric
from harness.base.language import _
from harness.provenance.claim import TrainingRecord, rounded_up
from harness.reports.content.recorded import retold

LOWER = "epsilon_lower"
_CEILING = "epsilon_ceiling"
BOUNDS = ["what", "epsilon", "shape", "n", "note"]
CLAIMED, RECOMPUTED, PROVEN, MOST = "at most", "recomputed", "at least", "ceiling"
"""Shapes of a bound: which side of it epsilon lies on, and whether anything was measured."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the claim stands: `kind` is none, unverified, alarm or agrees; `words` one sentence."""

    kind: str
    words: str


def bounds(training: TrainingRecord | None, metrics: Iterable[Metric], probe: str) -> pd.DataFrame:
    """A line per bound on epsilon: claimed and recomputed from above, proven ones from below, and the ceiling."""
    lines: list[tuple[str, float, str, int, str]] = []
    claim = training.privacy if training is not None else None
    if claim is not None and math.isfinite(claim.epsilon):
        at = _("at delta {delta}, for {unit}", delta=f"{claim.delta:.3g}", unit=claim.unit)
        accountant = claim.accountant.upper()
        lines.append((_("claimed ({accountant})", accountant=accountant), claim.epsilon, CLAIMED, claim.units or 0, at))
        again = claim.check.epsilon
        if again is not None and math.isfinite(again):
            lines.append((_("recomputed from the ledger"), again, RECOMPUTED, claim.units or 0, at))
    for metric in metrics:
        if metric.key.rpartition("/")[0] != probe or metric.value is None or metric.slice:
            continue
        name = metric.key.rpartition("/")[2]
        if name == _CEILING:
            lines.append((_("most it could prove"), metric.value, MOST, metric.n, retold(metric.note)))
        elif name.startswith(LOWER):
            said = _bound_names().get(name, name)
            lines.append((said, metric.value, PROVEN, metric.n, retold(metric.note)))
    return pd.DataFrame(lines, columns=BOUNDS)


def table(found: pd.DataFrame) -> pd.DataFrame:
    """The bounds in words: those from above are rounded up, those from below down."""
    up = found["shape"].isin([CLAIMED, RECOMPUTED])
    shown = [rounded_up(value) if above else _down(value) for value, above in zip(found["epsilon"], up, strict=True)]
    words = {CLAIMED: _("at most"), RECOMPUTED: _("at most, recomputed"), PROVEN: _("at least"), MOST: _("ceiling")}
    return found.assign(epsilon=shown, shape=found["shape"].map(words))


def _down(value: float) -> str:
    return f"{math.floor(value * 1000) / 1000:.3f}"


def standing(training: TrainingRecord | None, metrics: Iterable[Metric]) -> Standing:
    """What the claim is worth after this audit."""
    lower = next((each for each in metrics if each.key.endswith(f"/{LOWER}") and not each.slice), None)
    if lower is not None and lower.alarm is not None:
        return Standing("alarm", _("The audit contradicts the claim: {reason}.", reason=lower.alarm.reason))
    claim = training.privacy if training is not None else None
    if claim is None or not claim.is_made:
        return Standing("none", _("This checkpoint claims no privacy."))
    if claim.doubt:
        why = _("The claim could not be verified: {why}. Nothing may rest on it.", why=claim.doubt)
        return Standing("unverified", why)
    if lower is None or lower.value is None:
        return Standing("agrees", _("The claim follows from its ledger; no canary has tested it."))
    return Standing("agrees", _("The claim follows from its ledger, and what the canaries prove lies below it."))


def _bound_names() -> dict[str, str]:
    return {
        LOWER: _("proven by canaries"),
        f"{LOWER}_gaussian": _("if its trade-off is a Gaussian's"),
        f"{LOWER}_own_curve": _("if its trade-off is its accounting's"),
        f"{LOWER}_independent": _("if canaries were independent trials"),
    }
