"""A verified privacy claim as a metric, so that a policy can set a bound for it."""

from __future__ import annotations

from harness.api.metrics import PROVEN, Better, Metric, missing_metric
from harness.provenance.claim import TrainingRecord

CLAIM_PROBE = "training/claim"
"""No probe of that name runs. Not `privacy/...`: the claim itself must not satisfy a rule that asks for its audit."""
CLAIM_METRIC = f"{CLAIM_PROBE}/epsilon"


def claim_metrics(training: TrainingRecord | None) -> list[Metric]:
    """The upper bound on epsilon that a verified claim proves; missing with the reason otherwise; none without a claim.

    The bound is computed, not estimated: both ends of its interval are the bound, and n is the units protected.
    """
    claim = training.privacy if training else None
    if claim is None:
        return []
    bound = claim.bound
    if bound is None:
        why = f"not verifiable: {claim.doubt}" if claim.doubt else "no privacy guarantee is claimed"
        return [missing_metric(CLAIM_METRIC, why, better=Better.LOWER)]
    return [
        Metric(
            key=CLAIM_METRIC,
            value=bound,
            low=bound,
            high=bound,
            n=max(0, claim.units or 0),
            better=Better.LOWER,
            interval=PROVEN,
            note=f"upper bound at delta {claim.delta:.3g}, for {claim.unit}; recomputed from the ledger, not estimated",
        )
    ]


def rests_on_claim(metric: str) -> bool:
    """Whether a metric, or a pattern of metrics, means nothing where the claim is not verified.

    That is the claimed epsilon itself, and every audit of epsilon, which is read beside the claim.
    """
    return metric == CLAIM_METRIC or (metric.startswith(("privacy/", "memorization/")) and "epsilon" in metric)
