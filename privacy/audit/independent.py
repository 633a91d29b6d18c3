"""Lower bounds on epsilon from independent trials: many trainings, or canaries that cannot disturb one another.

Sources: Jagielski, Ullman & Oprea 2020 (arXiv 2006.07709); for the Gaussian curve Nasr et al. 2023 (arXiv 2302.07956).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from harness.errors import UsageError
from harness.stats.intervals import clopper_pearson
from privacy.audit.gaussian import gaussian_epsilon
from privacy.audit.guesses import check_scores
from privacy.audit.result import Audited, Bound, check_levels


def audit_independent(
    scores: ArrayLike,
    coins: ArrayLike,
    thresholds: Sequence[float],
    delta: float,
    confidence: float = 0.95,
    *,
    gaussian: bool = False,
    independent: bool = False,
) -> Audited:
    """The best lower bound over `thresholds` on the scores [m] above which a trial counts as 'in'.

    Thresholds are fixed before the scores are seen, or come from others; each gets an equal share of the allowed error
    (Bonferroni). Unless `independent` says that the trials are, the result is marked a heuristic. Raises UsageError
    where scores and coins do not fit, and for no thresholds.
    """
    bound = Bound.INDEPENDENT_GAUSSIAN if gaussian else Bound.INDEPENDENT
    check_levels(delta, confidence, bound)
    values, inside = check_scores(scores, coins)
    limits = list(dict.fromkeys(thresholds))
    if not limits:
        raise UsageError("no thresholds to audit with; give at least one")
    error, members = (1 - confidence) / len(limits), int(inside.sum())
    others = len(inside) - members
    best, found = -1.0, (0, 0)
    for limit in limits:
        hits, alarms = int((values[inside] > limit).sum()), int((values[~inside] > limit).sum())
        lower = lower_bound((hits, members), (alarms, others), delta, error, gaussian=gaussian)
        if lower > best:
            best, found = lower, (hits, alarms)
    hits, alarms = found
    half = len(values) // 2
    return Audited(
        lower=best,
        delta=delta,
        confidence=confidence,
        bound=bound,
        canaries=len(values),
        guesses=len(values),
        right=hits + others - alarms,
        plus=hits + alarms,
        minus=len(values) - hits - alarms,
        tried=len(limits),
        ceiling=lower_bound((half, half), (0, len(values) - half), delta, error, gaussian=gaussian),
        heuristic=not independent,
    )


def lower_bound(
    hits: tuple[int, int], alarms: tuple[int, int], delta: float, error: float, *, gaussian: bool = False
) -> float:
    """Epsilon at least, from hits of members and false alarms of others, each (count, of); wrong in a share `error`.

    Both error rates are bounded from above, each at half of `error`. Then epsilon is at least ln((1 - delta - FNR) /
    FPR), and the same with the two changed about; on a Gaussian curve mu is at least -Phi^-1(FPR) - Phi^-1(FNR).
    """
    level = 1 - error  # of a two-sided interval whose sides err with half of `error` each
    missed = clopper_pearson(hits[1] - hits[0], hits[1], level).high
    false = clopper_pearson(*alarms, level).high
    if gaussian:
        mu = -float(ndtri(false)) - float(ndtri(missed))
        return gaussian_epsilon(mu, delta) if mu > 0 and math.isfinite(mu) else 0.0
    ways = [(1 - delta - missed) / false, (1 - delta - false) / missed]
    return max(0.0, float(np.log(max(1.0, *ways))))
