"""A lower bound on epsilon from error rates of an attack, as if every canary were a training run of its own.

Jagielski et al. 2020 (arXiv 2006.07709): (epsilon, delta) privacy bounds the rates by 1 - delta - FNR <= e^eps FPR and
the mirrored inequality; both are taken at their Clopper-Pearson ends. Canaries of one run are not independent unless
their gradients are orthogonal: there it is a heuristic, and says so.
"""

from __future__ import annotations

import math

from scipy.stats import beta

from privacy.audit.one_run import LowerBound


def clopper_pearson_bound(
    *,
    planted: int,
    others: int,
    true_positives: int,
    false_positives: int,
    delta: float,
    confidence: float = 0.95,
    independent: bool = False,
) -> LowerBound:
    """The bound of an attack whose threshold was fixed before: found among the planted, and among the others.

    Each of the two rates errs with half of the rest of `confidence`, so that both hold together. Raises ValueError for
    counts that cannot be.
    """
    if not (0 <= true_positives <= planted and 0 <= false_positives <= others and planted > 0 and others > 0):
        raise ValueError(f"{true_positives} of {planted} and {false_positives} of {others} cannot be")
    alpha = (1 - confidence) / 2
    misses, right_others = planted - true_positives, others - false_positives
    fpr, fnr = _upper(false_positives, others, alpha), _upper(misses, planted, alpha)
    bounds = [_log_ratio(1 - delta - fnr, fpr), _log_ratio(1 - delta - fpr, fnr)]
    n = planted + others
    most_fpr, most_fnr = _upper(0, others, alpha), _upper(0, planted, alpha)
    most = max(_log_ratio(1 - delta - most_fnr, most_fpr), _log_ratio(1 - delta - most_fpr, most_fnr))
    return LowerBound(
        max(0.0, *bounds),
        delta,
        confidence,
        n,
        n,
        true_positives + right_others,
        "Clopper-Pearson (Jagielski et al. 2020)",
        max(0.0, most),
        heuristic=not independent,
    )


def _upper(hits: int, n: int, alpha: float) -> float:
    """One-sided upper end of a rate."""
    return 1.0 if hits >= n else float(beta.ppf(1 - alpha, hits + 1, n - hits))


def _log_ratio(above: float, below: float) -> float:
    return math.log(above / below) if above > 0 and below > 0 else 0.0
